"""Whether a file lies on a network file system, where SQLite's WAL mode is not safe."""

from __future__ import annotations

from pathlib import Path

#: Types in /proc/self/mounts; WAL needs memory shared by all who open the file.
NETWORK_TYPES = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.gcsfuse", "fuse.glusterfs"),
        *("fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs"),
        *("nfs", "nfs4", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs"),
    }
)
_MOUNTS = Path("/proc/self/mounts")


def network_type(path: Path) -> str | None:
    """Return the type of the network file system that holds ``path``.

    None on a local one, and on systems without /proc, where nobody tells.
    """
    try:
        table = _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    kind = mounted_type(table, path.resolve())
    return kind if kind in NETWORK_TYPES else None


def mounted_type(table: str, path: Path) -> str | None:
    """Return the type of the innermost mount of ``table`` (as in /proc/mounts) above ``path``."""
    best, best_depth = None, 0
    for line in table.splitlines():
        _, target, kind, *_ = line.split(" ")
        mount = Path(_unescape(target))
        # A later mount on the same place hides the earlier one.
        if path.is_relative_to(mount) and len(mount.parts) >= best_depth:
            best, best_depth = kind, len(mount.parts)
    return best


def _unescape(target: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        target = target.replace(code, character)
    return target
