"""Answers as the store keeps them; ``verdict`` says which of them are good enough to be kept."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from .codec import (
    MAX_ANSWER_BYTES,
    PARSED,
    NotStorableError,
    damaged,
    decode,
    encode,
    load,
    recorded_versions,
    unpack,
)

__all__ = [
    "MAX_ANSWER_BYTES",
    "PARSED",
    "NotStorableError",
    "damaged",
    "decode",
    "encode",
    "load",
    "recorded_versions",
    "unpack",
]

_OWN_DISTRIBUTIONS = ("jupyter_llmcache", "langchain-core")


@cache
def recording_versions(package: str | None) -> dict[str, str]:
    """Return distribution names and versions of what records now, for ``show`` and ``explain``.

    Args:
        package: The top-level package of the model's class, as ``langchain_openai``; None where no
            model was seen.
    """
    from importlib import metadata  # only who records needs it

    versions = {}
    # The package of a class of ours is here already.
    others = {package.replace("_", "-")} if package and package not in _OWN_DISTRIBUTIONS else ()
    for name in (*_OWN_DISTRIBUTIONS, *others):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
