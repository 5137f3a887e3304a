"""What 10,000 embedded texts take in the file, and what a hit of 100 of them takes of CPU.

Run: python benchmarks/embed.py [TEXTS]

The peer is LangChain's own CacheBackedEmbeddings over a folder of files, with the same vectors. The
floor is what any cache of lists has to do: make the numbers, here from their bytes in memory. Each
call asks for other texts, chosen at random.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_classic.storage import LocalFileStore
from langchain_core.embeddings import Embeddings
from langchain_core.globals import set_llm_cache
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import compare
from jupyter_llmcache import SQLiteCache

DIMENSIONS, HIT_TEXTS, ROUNDS = 1536, 100, 100
RAW_BYTES = 4 * DIMENSIONS
GOAL_MS, GOAL_RATIO, GOAL_EACH_BYTES = 6.0, 1.05, 200


class Provider(BaseModel, Embeddings):
    """Gives float32 numbers, as OpenAI's base64 brings them, in no time."""

    url: str = "http://127.0.0.1:9"

    def cache_key(self) -> str:
        """Say that the answers stand on nothing but the fields."""
        return ""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector of length one for each text."""
        vectors = np.random.default_rng(len(texts)).standard_normal(
            (len(texts), DIMENSIONS), dtype=np.float32
        )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        answer: list[list[float]] = vectors.tolist()
        return answer

    def embed_query(self, text: str) -> list[float]:
        """Return a vector of length one."""
        return self.embed_documents([text])[0]


def size_bytes(folder: Path) -> int:
    """Return what the files of ``folder`` hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(count: int) -> int:
    """Print the table; return 1 where a goal is missed."""
    texts = [f"Passage {number}: what the model reads here is short." for number in range(count)]
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name, "ours"), Path(name, "theirs")
        ours.mkdir()
        began = time.perf_counter()
        cache = SQLiteCache(ours / "course.db")
        set_llm_cache(cache)
        fresh = Provider().embed_documents(texts)
        put_s = time.perf_counter() - began
        set_llm_cache(None)
        cache.close()
        files = LocalFileStore(theirs)
        model = Provider()
        backed = CacheBackedEmbeddings.from_bytes_store(
            model, files, namespace="x", key_encoder="sha256"
        )
        began = time.perf_counter()
        backed.embed_documents(texts)
        peer_put_s = time.perf_counter() - began
        cache = SQLiteCache(ours / "course.db")  # as a later session finds it
        set_llm_cache(cache)

        packed = [array("f", vector).tobytes() for vector in fresh[:HIT_TEXTS]]
        chance = random.Random(1)
        asked: list[int] = []
        kept: list[Any] = []

        def choose(_: str) -> None:
            """Choose texts, and throw away what came last time: nobody waits for that."""
            kept.clear()
            asked[:] = chance.sample(range(count), 2 * HIT_TEXTS)

        def embed(embedder: Embeddings) -> None:
            places = [asked.pop() for _ in range(HIT_TEXTS)]
            kept.append(embedder.embed_documents([texts[place] for place in places]))

        def floats() -> None:
            for data in packed:
                numbers = array("f")
                numbers.frombytes(data)
                kept.append(numbers.tolist())

        took = compare(
            {"ours": lambda: embed(model), "theirs": lambda: embed(backed), "floor": floats},
            ROUNDS,
            before=choose,
        )
        places = chance.sample(range(count), HIT_TEXTS)
        again = model.embed_documents([texts[place] for place in places])
        assert again == [fresh[place] for place in places], "not bit by bit as they came"
        set_llm_cache(None)
        cache.close()
        sizes = {"ours": size_bytes(ours), "theirs": size_bytes(theirs)}
    allowed = count * (GOAL_RATIO * RAW_BYTES + GOAL_EACH_BYTES)
    print(f"{count:,} texts of {DIMENSIONS:,} numbers, {count * RAW_BYTES / 1e6:.1f} MB of float32")
    hit_ms = {way: each.cpu_s * 1000 for way, each in took.items()}
    for way, put in (("ours", put_s), ("theirs", peer_put_s)):
        print(
            f"{way:8} {sizes[way] / 1e6:7.1f} MB {sizes[way] / (count * RAW_BYTES):6.3f} x float32"
            f"   {HIT_TEXTS} hits: {hit_ms[way]:6.2f} ms of CPU   all put: {put:5.1f} s"
        )
    of_theirs, of_floor = (hit_ms["ours"] / hit_ms[way] for way in ("theirs", "floor"))
    print(
        f"ours is {of_theirs:.3f} of theirs, {of_floor:.2f} of the floor, {hit_ms['floor']:.2f} ms"
    )
    print(f"goal: {allowed / 1e6:.1f} MB, {GOAL_MS} ms")
    return int(sizes["ours"] > allowed or hit_ms["ours"] > GOAL_MS)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
