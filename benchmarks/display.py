"""What drawing a stream costs: the browser's main thread, and the kernel's time.

A long answer streams into a real JupyterLab in a real Chromium.

    python benchmarks/display.py            4,000 tokens at 100 a second
    python benchmarks/display.py --quick    200 tokens

"Blocked" is the longest task of the page's main thread while the answer grew and while it was drawn
for good, in processor time: on a machine that has nothing else to do the page is blocked for as
long. Beside it, in the same run, stands the same answer, displayed once as Markdown by JupyterLab
itself. One answer has more than a hundred formulas and one has none; MathJax itself, which takes
its time when a page sets its first formula, is loaded before. The kernel's share is the processor
time that the drawing thread took, of the time the stream took.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.system.browser import lab as labs  # noqa: E402  # the folder above is not installed

TOKENS_PER_S = 100
GOAL_BLOCKED_MS, GOAL_SHARE = 100, 0.03

SETUP = """
import json, threading, time
%load_ext jupyter_llmcache
from tests.system.browser.models import MIXED_ANSWER, SlowModel
blocks = MIXED_ANSWER.split("\\n\\n")
if not {formulas}:
    blocks = [block for block in blocks if "$" not in block and "\\\\[" not in block]
words = "\\n\\n".join(blocks * {tokens}).split(" ")
answer = " ".join(words[:{tokens}])
llm = SlowModel(answer=answer, tokens_per_s={tokens_per_s})
"""
#: The drawing thread ends with the stream, so its time is taken where it draws.
WATCH = """
from jupyter_llmcache.draw import live
drawing_s, publish = [0.0], live._Notebook._draw
def timed(self):
    began = time.thread_time()
    publish(self)
    drawing_s[0] += time.thread_time() - began
live._Notebook._draw = timed
began = time.perf_counter()
"""
TELL = "print(json.dumps([drawing_s[0], time.perf_counter() - began]))"
WARM = "from IPython.display import Math\nMath('x^2')"
MARKDOWN = "from IPython.display import Markdown, display\ndisplay(Markdown(answer))"

#: What Chromium writes down, and its name for a task and for a page's main thread.
TRACED = ["toplevel"]
TASKS, MAIN = ("RunTask", "ThreadControllerImpl::RunTask"), "CrRendererMain"


def measure(tokens: int, *, formulas: bool) -> dict[str, Any]:
    """Stream ``tokens`` into a notebook and return the figures."""
    setup = SETUP.format(tokens=tokens, tokens_per_s=TOKENS_PER_S, formulas=formulas)
    cells = [setup, WATCH, "%%llm --no-cache\nTell me all", TELL, MARKDOWN, WARM]
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        labs.write_notebook(Path(folder, "long.ipynb"), cells)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=labs.chromium(), args=list(labs.CHROMIUM_FLAGS)
            )
            with labs.running_lab(Path(home), Path(folder)) as lab:
                page = labs.NotebookPage.open(browser, lab, "long.ipynb")
                return _figures(browser, page)


def _figures(browser: Browser, page: labs.NotebookPage) -> dict[str, Any]:
    blocked = {}
    page.run_cell(0)
    page.run_cell(5)
    page.page.wait_for_timeout(2000)
    page.run_cell(1)
    for name, number in (("stream", 2), ("markdown", 4)):
        browser.start_tracing(page=page.page, categories=TRACED)
        page.run_cell(number)
        page.page.wait_for_timeout(2000)
        blocked[name] = _longest_task_ms(browser.stop_tracing())
        if number == 2:
            page.run_cell(3)
    drawing_s, took_s = json.loads(page.outputs(3)[0])
    page.close()
    return {"blocked_ms": blocked, "share": drawing_s / took_s, "took_s": took_s}


def _longest_task_ms(trace: bytes) -> float:
    """Return the processor time of the longest task of any page's main thread."""
    events = json.loads(trace)["traceEvents"]
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"]["name"] == MAIN
    }
    times_us = [
        event.get("tdur", 0)
        for event in events
        if event.get("name") in TASKS and (event["pid"], event["tid"]) in main
    ]
    return float(max(times_us)) / 1000


def main() -> int:
    """Print the table; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="200 tokens instead of 4,000")
    tokens = 200 if parser.parse_args().quick else 4000
    print(f"{tokens:,} tokens at {TOKENS_PER_S} a second")
    print(f"{'':20}{'blocked ms':>12}{'Markdown, once':>16}{'kernel share':>14}")
    missed = False
    for name, formulas in (("prose, code, tables", False), ("and formulas", True)):
        figures = measure(tokens, formulas=formulas)
        blocked_ms, share = figures["blocked_ms"], figures["share"]
        row = f"{blocked_ms['stream']:12.0f}{blocked_ms['markdown']:16.0f}{share:14.1%}"
        print(f"{name:20}{row}")
        missed |= blocked_ms["stream"] > GOAL_BLOCKED_MS or share >= GOAL_SHARE
    print(f"{'goal':20}{GOAL_BLOCKED_MS:12}{'':16}{GOAL_SHARE:14.0%}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
