"""Run LangChain's own unit tests with the extension loaded and a cache on, and tell what differs.

    python tools/langchain_tests.py                     # langchain-core, in memory and in a file
    python tools/langchain_tests.py langchain-openai    # another package's
    python tools/langchain_tests.py --here PACKAGE      # with this Python and what it has

The tests come from the package's source archive, of the release that is installed here, into a
temporary folder; they run in an environment of their own, once without us, once with each cache,
which is empty when a test begins. Exit status 1: a test does not end as it does without us and
docs/langchain_tests.md gives no reason for it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
REASONS = ROOT / "docs" / "langchain_tests.md"
#: Tells the tests' own process what to turn on, and where to write how each test ended.
CACHE, OUTCOMES = "LLMCACHE_TESTED_WITH", "LLMCACHE_OUTCOMES"
CACHES = {"alone": "", "memory": "memory --new", "sqlite": "sqlite {folder}/answers.db"}


def main() -> int:
    """Run the tests of the packages that are named; return 1 where one differs without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("packages", nargs="*", default=["langchain-core"])
    parser.add_argument("--here", action="store_true", help="make no environment")
    parser.add_argument("-k", help="only tests of such names, as pytest has it")
    args = parser.parse_args()
    different = [
        each for package in args.packages for each in compare(package, here=args.here, only=args.k)
    ]
    reasons = REASONS.read_text("utf-8")
    unnamed = [name for name in different if f"`{name.partition('[')[0]}`" not in reasons]
    print(
        f"{len(different)} tests differ, {len(unnamed)} of them without a reason in {REASONS.name}"
    )
    return int(bool(unnamed))


def compare(package: str, *, here: bool, only: str | None) -> list[str]:
    """Run the tests of ``package`` in each way, and return those that do not end as alone."""
    with tempfile.TemporaryDirectory() as name:
        sources = fetch(package, Path(name))
        python = Path(sys.executable) if here else environment(package, sources)
        ended = {cache: run(python, sources, cache, only) for cache in CACHES}
    alone, different = ended["alone"], []
    if not alone:
        raise SystemExit(f"{package} {version(package)}: no test ran, see above")
    print(
        f"{package} {version(package)}: {len(alone)} tests, {list(alone.values()).count('passed')}"
        " of them pass without us"
    )
    for cache in list(CACHES)[1:]:
        differing = {n: how for n, how in ended[cache].items() if how != alone.get(n)}
        differing |= dict.fromkeys(alone.keys() - ended[cache].keys(), "missing")
        print(f"  {cache}: {len(ended[cache])} tests, {len(differing)} end otherwise")
        for name, how in sorted(differing.items()):
            print(f"    {name}: {how}, alone {alone.get(name, 'missing')}")
        different += differing
    return sorted(set(different))


def fetch(package: str, folder: Path) -> Path:
    """Unpack the source archive of the installed release, and return where it is."""
    wanted = f"{package}=={version(package)}"
    options = ["--no-deps", "--no-binary", package, "-d", folder]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", *options, wanted], check=True)  # noqa: S603  # pip, for a package that is installed here
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def environment(package: str, sources: Path) -> Path:
    """Return the interpreter of an environment with all that the package's tests need."""
    from tests.environments import environment as made

    project = tomllib.loads((sources / "pyproject.toml").read_text("utf-8"))
    needs = [each for each in project["dependency-groups"]["test"] if isinstance(each, str)]
    return made("newest", f"{package}=={version(package)}", *needs)


def run(python: Path, sources: Path, cache: str, only: str | None) -> dict[str, str]:
    """Run the tests with ``cache``, and return how each of them ended."""
    with tempfile.TemporaryDirectory() as name:
        told = Path(name, "outcomes")
        told.touch()
        variables = {
            **{key: value for key, value in os.environ.items() if not key.startswith("LANG")},
            "PYTHONPATH": str(ROOT),
            CACHE: CACHES[cache],
            OUTCOMES: str(told),
            "NO_DOCKER": "true",  # langgraph's tests run without their databases then
        }
        tests = next(each for each in ("tests/unit_tests", "tests") if (sources / each).is_dir())
        command = [python, "-m", "pytest", "-q", "-p", "tools.langchain_tests", tests]
        command += [
            "--disable-socket",
            "--allow-unix-socket",
            "-p",
            "no:cacheprovider",
            "-o",
            "addopts=",
        ]
        command += ["-k", only] if only else []
        subprocess.run(command, cwd=sources, env=variables, check=False)  # noqa: S603  # the tests that were fetched
        return dict(json.loads(line) for line in told.read_text("utf-8").splitlines())


# --- inside the tests' own process, where this module is a plugin of pytest ---


@pytest.fixture(scope="session")
def _shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "jupyter_llmcache")
    return shell


@pytest.fixture(autouse=True)
def _cache_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let each test begin with the extension loaded, and with a cache that is on and empty."""
    line = os.environ.get(CACHE)
    if not line:
        yield
        return
    shell = request.getfixturevalue("_shell")
    shell.run_line_magic("llm_cache", line.format(folder=request.getfixturevalue("tmp_path")))
    yield
    shell.run_line_magic("llm_cache", "off")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how a test ended: by its body, or by a fixture that failed."""
    if report.when == "call" or report.outcome != "passed":
        with Path(os.environ[OUTCOMES]).open("a", encoding="utf-8") as told:
            print(json.dumps([report.nodeid, report.outcome]), file=told)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
