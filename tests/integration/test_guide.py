"""LangChain's own guide to caching, typed as it stands: seen, annotated, recorded and replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from jupyter_llmcache.course import check as checking
from tests.shells import RecordingShell

MODEL = """
from langchain_openai import ChatOpenAI
llm = ChatOpenAI(model="gpt-test", api_key="k", base_url={url!r}, max_retries=0)
"""
GUIDE = (
    "from langchain_core.globals import set_llm_cache",
    (
        "%%time\n"
        "from langchain_core.caches import InMemoryCache\n\n"
        "set_llm_cache(InMemoryCache())\n\n"
        "# The first time, it is not yet in cache, so it should take longer\n"
        'llm.invoke("Tell me a joke")'
    ),
    '%%time\n# The second time it is, so it goes faster\nllm.invoke("Tell me a joke")',
    "!rm -f .langchain.db",
    (
        "# We can do the same thing with a SQLite cache\n"
        "from langchain_community.cache import SQLiteCache\n\n"
        'set_llm_cache(SQLiteCache(database_path=".langchain.db"))'
    ),
    (
        "%%time\n"
        "# The first time, it is not yet in cache, so it should take longer\n"
        'llm.invoke("Tell me a joke")'
    ),
    '%%time\n# The second time it is, so it goes faster\nllm.invoke("Tell me a joke")',
)


def test_the_guide_is_annotated(shell: RecordingShell, openai_server: Any) -> None:
    """With the extension loaded and no cache of ours on, the line tells fresh from cached."""
    shell.run("%load_ext jupyter_llmcache")
    shell.run(MODEL.format(url=openai_server.url))
    drawn = [shell.run(cell).outputs for cell in GUIDE]
    lines = [outputs[-1].text if outputs else "" for outputs in drawn]
    assert len(openai_server.requests) == 2
    assert [line.split(" · ")[1] for line in lines if line] == ["1 fresh", "1 cached"] * 2
    assert not any("not cached" in line for line in lines)


def test_the_guide_is_recorded_and_replayed(tmp_path: Path, openai_server: Any) -> None:
    """Recorded headless, it replays from the file; its own caches are counted beside."""
    book = nbformat.v4.new_notebook()
    cells = ("%load_ext jupyter_llmcache", MODEL.format(url=openai_server.url), *GUIDE)
    book.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    path = tmp_path / "guide.ipynb"
    nbformat.write(book, path)
    recorded = checking.check([str(path)], "guide.db", records=True)
    assert recorded.ok, str(recorded)
    sent = len(openai_server.requests)
    assert 1 <= sent <= 2
    report = checking.check([str(path)], "guide.db")
    assert report.ok, str(report)
    assert len(openai_server.requests) == sent
    [checked] = report.data["notebooks"]
    assert [cell["answers"] for cell in checked["cells"]] == [0, 0, 0, 1, 0, 0, 0, 1, 0]
    others = [cell["other_caches"] for cell in checked["cells"]]
    assert others[4] == {"InMemoryCache": 1}
    assert others[8] == {"SQLiteCache": 1}


pytestmark = pytest.mark.filterwarnings("ignore")
