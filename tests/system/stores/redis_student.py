"""One student's process: asks its questions in an order of its own, and prints what it saw.

``redis_student.py URL PROVIDER QUESTIONS SEED THREADS PAUSE_S``: QUESTIONS is how many different
questions there are; each thread asks every one of them once.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time

from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI

from jupyter_llmcache import calls
from jupyter_llmcache.seam.cache import ObservedCache
from jupyter_llmcache.stores.redis import RedisStore

url, provider, questions, seed, threads, pause_s = sys.argv[1:]
cache = ObservedCache(RedisStore(url))
set_llm_cache(cache)
model = ChatOpenAI(model="gpt-test", api_key="k", base_url=provider, max_retries=2)
faults: list[str] = []
walls_s: list[float] = []


def work(number: int) -> None:
    order = list(range(int(questions)))
    random.Random(f"{seed}-{number}").shuffle(order)
    for question in order:
        began = time.perf_counter()
        try:
            said = model.invoke(f"question {question}").text
            if said != f"answer to question {question}":
                faults.append(f"question {question} got {said!r}")
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")
        walls_s.append(time.perf_counter() - began)
        time.sleep(float(pause_s))


running = [threading.Thread(target=work, args=(n,)) for n in range(int(threads))]
sys.stdout.write("ready\n")
sys.stdout.flush()
sys.stdin.readline()
for thread in running:
    thread.start()
for thread in running:
    thread.join()
left = cache.store.flush(10)
hits_s = sorted(call.wall_s for call in calls() if call.kind == "hit")
kinds = [call.kind for call in calls()]
sys.stdout.write(
    json.dumps(
        {
            "faults": faults[:5],
            "hits": kinds.count("hit"),
            "misses": kinds.count("miss"),
            "left": left,
            "stored": sum(call.stored or call.pending for call in calls() if call.kind == "miss"),
            "p99_s": hits_s[int(len(hits_s) * 0.99)] if hits_s else None,
        }
    )
)
