"""How long ``%load_ext jupyter_llmcache`` takes after IPython's start, as a median of 5 processes.

python benchmarks/load.py

The goal is under 10 ms. Beside it stands what LangChain's cache module alone takes to import, in
the same processes, as a measure of the machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

PROCESSES = 5
GOAL_MS = 10.0

LOAD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
shell.run_cell("1")
began = time.perf_counter()
shell.run_line_magic("load_ext", "jupyter_llmcache")
loaded = time.perf_counter()
import langchain_core.caches
print(loaded - began, time.perf_counter() - loaded)
"""


def measure() -> tuple[float, float]:
    """Return milliseconds for loading, and for importing LangChain's caches, in a new process."""
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", LOAD, root]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    load_s, peer_s = map(float, printed.split()[-2:])
    return load_s * 1e3, peer_s * 1e3


def main() -> int:
    """Print the medians; return 1 where the goal is missed."""
    measure()  # compiles what is not yet compiled
    loads, peers = zip(*(measure() for _ in range(PROCESSES)), strict=True)
    load_ms, peer_ms = statistics.median(loads), statistics.median(peers)
    print(f"%load_ext jupyter_llmcache     {load_ms:7.1f} ms   goal: under {GOAL_MS:.0f} ms")
    print(f"import langchain_core.caches   {peer_ms:7.1f} ms   {peer_ms / load_ms:.0f} times that")
    return int(load_ms >= GOAL_MS)


if __name__ == "__main__":
    sys.exit(main())
