"""Judge the key by the wire for providers' packages, each in an environment of its own.

    python tools/wire.py langchain-groq langchain-xai   # these
    python tools/wire.py                                # all

The environments are kept in the folder of the tests' environments. The table is docs/wire.md; a
row that is judged anew replaces the old one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "wire.md"
HEAD = """# The wire judges the key

For each class, every public field, every call argument and every leaf of the messages was varied,
invoked and streamed; a local server noted what was sent. *Collisions* are pairs with another wire
under the same key (but for names that the provider's row drops, each with its reason there);
*needless* counts things that the wire does not tell and the key does, with the reasons.
`python tools/wire.py PACKAGE...` makes a row anew.

| class | package | pairs | collisions | needless | reasons |
|---|---|---|---|---|---|
"""
NEEDS = ("ipython", "markdown-it-py", "nh3", "pygments", "traitlets")
JUDGE = """
import json, logging, os, sys, warnings
from importlib.metadata import version
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
from tests.integration.wire.harness import WireServer, reason_for, sweep
from tests.integration.wire.subjects import SUBJECTS
server = WireServer()
os.environ["PERPLEXITY_BASE_URL"] = server.url
package, rows = sys.argv[1], []
for subject in SUBJECTS[package]:
    report = sweep(subject, server)
    reasons = sorted({reason_for(what) or "NONE" for what in report.needless})
    unread = [what for what in report.needless if reason_for(what) is None]
    for each in [*report.collisions, *report.refused, *unread]:
        print(subject.name, each, file=sys.stderr)
    rows.append([subject.name, f"{package} {version(package)}", report.pairs,
                 len(report.collisions) + len(report.refused), len(report.needless), reasons])
print(json.dumps(rows))
"""


def environment(package: str) -> Path:
    """Return the interpreter of the package's environment, made now where there is none."""
    usual = Path(tempfile.gettempdir()) / "llmcache-wire"
    folder = Path(os.environ.get("LLMCACHE_TEST_ENVIRONMENTS", usual)) / f"wire-{package}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", package, *NEEDS], check=True)  # noqa: S603  # pip, in an environment of its own
    return python


def judge(package: str) -> list[list[object]]:
    """Return the rows of ``package``: class, release, pairs, collisions, needless, reasons."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        "LANGSMITH_TRACING": "false",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    command = [environment(package), "-c", JUDGE, package]
    done = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own code
    rows: list[list[object]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def main(packages: list[str]) -> None:
    """Judge ``packages`` and write their rows into the table."""
    if not packages:
        from tests.integration.wire.subjects import SUBJECTS

        packages = list(SUBJECTS)
    lines = TABLE.read_text("utf-8").splitlines() if TABLE.exists() else []
    known = {line.split("|")[1].strip(): line for line in lines if line.startswith("| `")}
    for package in packages:
        for name, release, pairs, collisions, needless, reasons in judge(package):
            told = "; ".join(map(str, reasons)) if isinstance(reasons, list) else ""
            cells = (f"`{name}`", release, pairs, collisions, needless, told)
            known[f"`{name}`"] = f"| {' | '.join(map(str, cells))} |"
            print(known[f"`{name}`"])
        TABLE.write_text(HEAD + "\n".join(known.values()) + "\n", "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(sys.argv[1:])
