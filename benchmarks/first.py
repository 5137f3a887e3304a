"""What a new process pays before its first hit, and a shell for ``%load_ext``.

    python benchmarks/first.py            15 processes of each
    python benchmarks/first.py --profile  where the first hit's imports go, one process

Each process first imports LangChain and OpenAI's integration, makes the model and has it answer
once from LangChain's own cache, so that what is measured is ours alone. Times are of the thread's
processor, the least of all processes; beside them stands the ratio to LangChain's import in the
same processes. Bytecode is written before the first one counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

FIRST_HIT = """
import gc, json, sys, time
sys.path[:0] = sys.argv[1], sys.argv[4]
began = time.thread_time()
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(model="gpt-x", api_key="k", base_url=sys.argv[3], max_retries=0)
langchain_s = time.thread_time() - began
set_llm_cache(InMemoryCache())
llm.invoke("the first"), llm.invoke("the first")
gc.collect()  # or whoever imports next may pay for what LangChain has left
marks = [time.thread_time()]
from jupyter_llmcache import SQLiteCache
marks.append(time.thread_time())
set_llm_cache(SQLiteCache(sys.argv[2]))
marks.append(time.thread_time())
llm.invoke("the first")
marks.append(time.thread_time())
steps = [later - earlier for earlier, later in zip(marks, marks[1:])]

import importlib, marshal, pathlib
ours = [m.__cached__ for n, m in [*sys.modules.items()] if n.startswith("jupyter_llmcache")]
marks = [time.thread_time()]
for path in ours:
    marshal.loads(pathlib.Path(path).read_bytes()[16:])
marks.append(time.thread_time())
for number in range(len(ours)):
    importlib.import_module(f"empty.m{number}")
marks.append(time.thread_time())
floor = [later - earlier for earlier, later in zip(marks, marks[1:])]
print(json.dumps([langchain_s, sum(steps), *steps, len(ours), *floor]))
"""

LOAD_EXT = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
began = time.thread_time()
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
ipython_s = time.thread_time() - began
began = time.thread_time()
shell.run_line_magic("load_ext", "jupyter_llmcache")
print(json.dumps([ipython_s, time.thread_time() - began]))
"""


def took(script: str, *args: str, processes: int = 15, options: tuple[str, ...] = ()) -> list[Any]:
    """Return the least of each figure that ``script`` prints, over some processes."""
    command = [sys.executable, *options, "-c", script, str(ROOT), *args]
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    runs = []
    for _ in range(processes + 1):
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        runs.append(json.loads(done.stdout))
        if options:
            print(done.stderr)
    return [min(figures) for figures in zip(*runs[1:], strict=True)]  # the first run prepares


def main() -> None:
    """Measure both and print them."""
    from benchmarks.common import text_of
    from tests.servers.openai import OpenAIServer

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="print what the imports take")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        OpenAIServer(lambda _: text_of(1, 1000)) as server,
    ):
        (empty := Path(folder, "empty")).mkdir()
        for number in range(100):
            (empty / f"m{number}.py").write_text("")
        if args.profile:
            took(
                FIRST_HIT,
                f"{folder}/a.db",
                server.url,
                folder,
                processes=1,
                options=("-X", "importtime"),
            )
            return
        langchain_s, first_s, *steps, modules, read_s, empty_s = took(
            FIRST_HIT, f"{folder}/a.db", server.url, folder, processes=args.processes
        )
        ipython_s, load_s = took(LOAD_EXT, folder, processes=args.processes)
    parts = ", ".join(
        f"{name} {step * 1e3:.1f}"
        for name, step in zip(("import", "open", "ask"), steps, strict=True)
    )
    print(f"the first hit of a new process: {first_s * 1e3:.1f} ms ({parts})")
    print(f"  first hit / LangChain's import  {first_s / langchain_s:.3f}")
    print(
        f"  {modules} modules: their bytecode takes {read_s * 1e3:.1f} ms to read, as many modules"
    )
    print(f"  with nothing in them {empty_s * 1e3:.1f} ms to import; none of it has run then")
    print(f"%load_ext: {load_s * 1e3:.1f} ms")
    print(f"  %load_ext / IPython's start  {load_s / ipython_s:.3f}")


if __name__ == "__main__":
    main()
