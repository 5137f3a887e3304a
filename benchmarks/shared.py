"""What a hit from a server on this machine costs, and what an entry takes there.

    python benchmarks/shared.py [ROUNDS]

Starts a redis-server of its own. Prints medians of end-to-end ``invoke`` hits as ratios in one run,
the ways in a new order each round: once with every hit asked of the server, once with entries kept
in the kernel for a second, as they are. Wall time, since a server works while its client waits.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
warnings.simplefilter("ignore")

from langchain_core.globals import set_llm_cache  # noqa: E402  # the folder above is not installed

from jupyter_llmcache import SQLiteCache  # noqa: E402
from jupyter_llmcache.ledger import Entry  # noqa: E402
from jupyter_llmcache.seam.cache import ObservedCache  # noqa: E402
from jupyter_llmcache.stores.redis import RedisStore  # noqa: E402
from jupyter_llmcache.stores.sqlite import SQLiteStore  # noqa: E402
from tests.servers.openai import OpenAIServer  # noqa: E402
from tests.servers.redis import RedisServer  # noqa: E402

HITS = 300
ENTRIES = 2_000


def main(rounds: int) -> None:
    """Measure and print."""
    import redis
    from langchain_community.cache import RedisCache
    from langchain_openai import ChatOpenAI

    folder = Path(tempfile.mkdtemp())
    with RedisServer() as server, OpenAIServer() as provider:
        ours = ObservedCache(RedisStore(server.url))
        ways = {
            "ours, asked": ours,
            "ours, kept a second": ours,
            "our SQLiteCache": SQLiteCache(folder / "ours.db"),
            "langchain-community RedisCache": RedisCache(redis.Redis(port=server.port, db=1)),
        }
        models = {
            name: ChatOpenAI(model="gpt-x", api_key="k", base_url=provider.url) for name in ways
        }
        times_s: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name in random.sample(list(ways), len(ways)):
                set_llm_cache(ways[name])
                models[name].invoke("Tell me a joke")
                for _ in range(HITS):
                    if name == "ours, asked":
                        ours.store._hot.clear()  # type: ignore[attr-defined]  # noqa: SLF001  # see above
                    began = time.perf_counter()
                    models[name].invoke("Tell me a joke")
                    times_s[name].append(time.perf_counter() - began)
        set_llm_cache(None)
        medians = {name: statistics.median(each) for name, each in times_s.items()}
        print("invoke, a hit from a server on this machine, wall time")
        for mine in list(ways)[:2]:
            for name in list(ways)[2:]:
                print(f"  {mine} / {name}: {medians[mine] / medians[name]:.2f}")
        memory(server, folder)


def memory(server: RedisServer, folder: Path) -> None:
    """Print what an entry of 1 KB takes on the server, over what it takes in our file."""
    client = server.client()
    rng = random.Random(1)
    words = Path(__file__).read_text("utf-8").split()

    def text(number: int) -> str:
        return " ".join([str(number), *(rng.choice(words) for _ in range(140))])

    entries = [
        Entry(
            key=os.urandom(16),
            answer=text(number).encode(),
            created_at=time.time(),
            provider_s=1.0,
            request='{"model":"gpt-x"}',
            prompt=text(number),
            title="a question",
        )
        for number in range(ENTRIES)
    ]
    file = SQLiteStore(folder / "size.db")
    file.put_many(entries)
    file.flush()
    print("memory an entry, answers and prompts of 1 KB, over the file's bytes an entry")
    for readable in (False, True):
        store = RedisStore(server.url, prefix=f"size{readable}", readable=readable)
        before = client.info("memory")["used_memory"]
        store.put_many(entries)
        taken = client.info("memory")["used_memory"] - before
        print(f"  {'readable' if readable else 'answers alone'}: {taken / file.size_bytes():.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
