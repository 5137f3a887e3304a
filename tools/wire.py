"""Judge the key by the wire for providers' packages, each in an environment of its own.

    .venv/bin/python tools/wire.py langchain-groq langchain-xai   # these
    .venv/bin/python tools/wire.py                                # all

The environments are kept in the folder of the tests' environments. The table is docs/wire.md; a
class that is judged anew gets a new row. The exit status is 1 where a row tells a collision, a
class that is not cached, or a needless miss without a reason; the lines before the row name them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "wire.md"
HEAD = """# The wire judges the key

For each class, every public field, every call argument and every leaf of the messages was varied,
invoked and streamed; a local server noted what was sent, and all variants of one thing were
compared in *pairs*. *Collisions* are pairs with another wire under the same key (but for names that
the provider's row drops, each with its reason there). *Needless* counts things whose wire was the
same under two keys, with the letter of the reason below. Every class here is cached. What a row
drops, it drops in a field `extra_body` too; what only a gateway knows counts there, for it may
route by it: a trace, a session, a tag.
`.venv/bin/python tools/wire.py PACKAGE...` makes an environment for each package, judges its
classes and writes their rows.

| class | package | pairs | collisions | needless |
|---|---|---|---|---|
"""
JUDGE = """
import json, logging, os, sys, warnings
from collections import Counter
from importlib.metadata import version
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
from tests.integration.wire.harness import REASONS, WireServer, reason_for, sweep
from tests.integration.wire.subjects import SUBJECTS
server, rows = WireServer(), sys.stdout
sys.stdout = sys.stderr  # some packages print
os.environ["PERPLEXITY_BASE_URL"] = server.url
package = sys.argv[1]
for subject in SUBJECTS[package]:
    report = sweep(subject, server)
    needless = Counter(map(reason_for, report.needless))
    wrong = [*report.collisions, *(f"{what} is not cached" for what in sorted(report.refused))]
    wrong += [f"{what} counts without need" for what in report.needless if not reason_for(what)]
    print(json.dumps([subject.name, f"{package} {version(package)}", report.pairs,
                      len(report.collisions), [*needless.items()], wrong]), file=rows, flush=True)
"""


def environment(package: str) -> Path:
    """Return the interpreter of the package's environment, made now where there is none."""
    from tests.environments import REST, make, python_in

    usual = Path(tempfile.gettempdir()) / "llmcache-wire"
    folder = Path(os.environ.get("LLMCACHE_TEST_ENVIRONMENTS", usual)) / f"wire-{package}"
    return (
        python_in(folder)
        if folder.exists()
        else make(folder, Path(sys.executable), [package, *REST])
    )


def judge(package: str) -> bool:
    """Write the rows of the classes of ``package``; return whether all is well."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        "LANGSMITH_TRACING": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    command = [environment(package), "-c", JUDGE, package]
    is_well = True
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as judging:  # noqa: S603  # our own code
        for line in judging.stdout or ():
            name, release, pairs, collisions, needless, wrong = json.loads(line)
            is_well = is_well and not wrong
            for each in wrong:
                print(f"{name}: {each}")
            write(f"`{name}`", [release, pairs, collisions], dict(needless))
    return is_well and judging.returncode == 0


def write(name: str, cells: list[object], needless: dict[str | None, int]) -> None:
    """Put the row of one class into the table, in the place of an older one."""
    from tests.integration.wire.harness import REASONS

    letters = {
        reason: chr(ord("a") + n) for n, reason in enumerate(dict.fromkeys(REASONS.values()))
    }
    counted = sorted((letters.get(reason or "", "no reason"), n) for reason, n in needless.items())
    told = f"{sum(needless.values())}: {', '.join(f'{n} {letter}' for letter, n in counted)}"
    lines = TABLE.read_text("utf-8").splitlines() if TABLE.exists() else []
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| `")}
    rows[name] = f"| {' | '.join(map(str, [name, *cells, told if needless else 0]))} |"
    print(rows[name], flush=True)
    legend = [f"- **{letter}**: {reason}" for reason, letter in letters.items()]
    TABLE.write_text(HEAD + "\n".join([*rows.values(), "", *legend]) + "\n", "utf-8")


def main(packages: list[str]) -> bool:
    """Judge ``packages``, or all; return whether all is well."""
    from tests.integration.wire.subjects import SUBJECTS

    for package in packages:
        if package not in SUBJECTS:
            sys.exit(f"{package} has no classes in SUBJECTS of tests/integration/wire/subjects.py")
    verdicts = [judge(package) for package in packages or SUBJECTS]
    return all(verdicts)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if {"-h", "--help"} & {*sys.argv}:
        sys.exit(__doc__)
    sys.exit(0 if main(sys.argv[1:]) else 1)
