"""What hits, misses and uncached calls cost now, over the first release or any other commit.

    python benchmarks/releases.py [COMMIT]

Both are laid out from this repository's history and asked in processes of their own, by the same
script, with the same LangChain; the processes take turns in an order that is shuffled each time.
What a new answer takes beyond its call is the median of pairs, with and without the cache. Ratios
are those of the least processor times, now over then: below 1 is faster now.
"""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

#: The last commit of the first release.
FIRST = "8c39a02"
ROUNDS = 5

#: Tells the least processor time of each way in the process that runs it, in microseconds.
ASK = """
import asyncio, gc, json, sys, tempfile, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from jupyter_llmcache import MemoryCache, SQLiteCache
import jupyter_llmcache
assert jupyter_llmcache.__file__.startswith(sys.argv[1])
url = sys.argv[2]
prompts, tools = eval(sys.stdin.read())
llm = ChatOpenAI(model="gpt-x", api_key="k", base_url=url, max_retries=0)
off = ChatOpenAI(model="gpt-x", api_key="k", base_url=url, cache=False)
tooled = llm.bind_tools(tools)
folder = tempfile.mkdtemp()
sqlite, memory = SQLiteCache(folder + "/a.db"), MemoryCache()
numbers = iter(range(10**6))

def least(ask, rounds, clock=time.thread_time):
    ask(), ask()
    took = []
    for _ in range(rounds):
        began = clock()
        ask()
        took.append(clock() - began)
    return min(took) * 1e6

def timed(cache, ask):
    set_llm_cache(cache)
    began = time.thread_time()
    ask()
    return time.thread_time() - began

told = {}
set_llm_cache(sqlite)
for shape, prompt in prompts.items():
    model = tooled if shape == "20 tools" else llm
    told["hit, " + shape] = least(lambda: model.invoke(prompt), 150)
list(llm.stream("stream me"))
told["hit, whole stream"] = least(lambda: list(llm.stream("stream me")), 100)
loop = asyncio.new_event_loop()
ask = lambda: loop.run_until_complete(llm.ainvoke("hello"))
told["hit, ainvoke, all threads"] = least(ask, 150, time.process_time)
for size in (60, 1_000, 10_000, 100_000, 1_000_000):
    ask = lambda: llm.invoke(f"question {next(numbers)}, {size}")
    more = []
    for _ in range(15 if size > 10_000 else 100):
        alone, kept = (timed(cache, ask) for cache in (None, sqlite))
        more.append(kept - alone)
    told[f"a new answer of {size:,} bytes, beyond its call"] = sorted(more)[len(more) // 2] * 1e6
set_llm_cache(memory)
told["hit in memory, short prompt"] = least(lambda: llm.invoke("hello"), 150)
told["a call with cache=False"] = least(lambda: off.invoke("hello"), 100)
gc.collect()
print(json.dumps(told))
"""


def main() -> None:
    """Print the table."""
    from benchmarks.calls import provider
    from benchmarks.common import prompts, tools

    commit = sys.argv[1] if len(sys.argv) > 1 else FIRST
    asked = repr((prompts(), tools()))
    took: dict[str, list[dict[str, float]]] = {"now": [], "then": []}
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder, provider() as url:
        packed = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, capture_output=True, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as files:
            files.extractall(folder, filter="data")
        roots = {"now": str(ROOT), "then": folder}
        for _ in range(ROUNDS):
            for name in random.sample(list(roots), 2):
                command = [sys.executable, "-c", ASK, roots[name], url]
                done = subprocess.run(
                    command,
                    input=asked,
                    capture_output=True,
                    text=True,
                    check=True,
                    env=environment,
                )
                took[name].append(json.loads(done.stdout))
    print(f"{'processor time, microseconds':<46} {'now':>8} {commit:>8}  now / then")
    for way in took["now"][0]:
        now, then = (min(each[way] for each in took[name]) for name in ("now", "then"))
        print(f"{way:<46} {now:8.0f} {then:8.0f} {now / then:8.2f}")


if __name__ == "__main__":
    main()
