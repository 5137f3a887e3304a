"""Take the pictures of README and docs in a real JupyterLab, light and dark.

OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=... python tools/take_pictures.py MODEL
python tools/take_pictures.py    those of docs/course.md and experiments.md, which need no model
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.system.browser import lab as labs  # noqa: E402  # the folder above is not installed

#: The first cell of each is not in the picture.
README = (
    'from langchain_openai import ChatOpenAI\nllm = ChatOpenAI(model="{model}", temperature=0)',
    "%load_ext jupyter_llmcache\n%llm_cache sqlite .langchain.db",
    "%%llm\nWhat is photosynthesis? Answer in one sentence.",
    "%%llm\nWhat is photosynthesis? Answer in one sentence.",
    """words = ["chlorophyll", "photosynthesis"]
answers = llm.batch([f"What is {word}? Answer in one sentence." for word in words])""",
    "%llm_cache list",
)
LESSON = (
    """import os
os.environ["OPENAI_API_KEY"] = "replay needs none"
from langchain_openai import ChatOpenAI
%load_ext jupyter_llmcache
%config LLMCache.annotate = True""",
    "%llm_cache sqlite course.db --read-only\n%llm_cache mode replay",
    'llm = ChatOpenAI(model="SmolLM2-135M-Instruct", temperature=0, max_tokens=60, seed=1)',
    '%%llm -s "You answer in one sentence."\nWhat is a language model?',
    '%%llm -s "You answer in one sentence."\nWhat is a language modle?',
)
EXPERIMENT = (
    """from langchain_core.language_models import FakeListChatModel
%load_ext jupyter_llmcache
%llm_cache memory
class Model(FakeListChatModel):
    def cache_key(self): return self.responses
    def _call(self, messages, *args, **kwargs):
        return self.responses["dogs" in messages[-1].text]
cats = "Why was the cat on the computer? To keep an eye on the **mouse**."
dogs = "What do you call a frozen dog? A *pupsicle*."
small = Model(responses=[cats, dogs])
large = Model(responses=[cats.replace("To", "It had to"), dogs.replace("frozen", "cold")])
%llm -m small Tell me a joke about cats""",
    'topics = ["cats", "dogs"]',
    "%%llm -m small -m large --each topic=topics -o table\nTell me a joke about {{topic}}",
    "%%llm -m small -m large --each topic=topics --diff\nTell me a joke about {{topic}}",
)
CLIP = """() => {
    const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')].slice(1)
        .map(cell => cell.getBoundingClientRect());
    const left = Math.min(...cells.map(cell => cell.left));
    const top = cells[0].top - 6;
    const bottom = cells[cells.length - 1].bottom + 6;
    return {x: left, y: top, width: cells[0].width, height: bottom - top};
}"""
HIDE_FIRST = """() => {
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = 0;
    notebook.widgets[0].node.style.visibility = 'hidden';
    notebook.node.scrollTop = 0;
}"""


def take(name: str, cells: Sequence[str], *files: Path, width: int = 1150) -> None:
    """Run ``cells`` beside ``files`` and write the pictures of the name into ``docs``."""
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        labs.write_notebook(Path(folder, "cache.ipynb"), cells)
        for file in files:
            shutil.copy(file, folder)
        with (
            sync_playwright() as driver,
            driver.chromium.launch(
                executable_path=labs.chromium(), args=list(labs.CHROMIUM_FLAGS)
            ) as browser,
            labs.running_lab(Path(home), Path(folder)) as lab,
        ):
            size = {"width": width, "height": 1100}
            notebook = labs.NotebookPage.open(browser, lab, "cache.ipynb", viewport=size)
            notebook.command("application:toggle-left-area")
            notebook.run_all()
            notebook.page.wait_for_timeout(5000)
            notebook.page.evaluate(HIDE_FIRST)
            for shade in ("light", "dark"):
                notebook.command("apputils:change-theme", theme=f"JupyterLab {shade.title()}")
                notebook.page.wait_for_timeout(1500)
                clip = notebook.page.evaluate(CLIP)
                notebook.page.screenshot(path=ROOT / "docs" / f"{name}_{shade}.png", clip=clip)
            notebook.close()


if __name__ == "__main__":
    for model in sys.argv[1:]:
        take("notebook", [cell.replace("{model}", model) for cell in README])
    take("course", LESSON, ROOT / "notebooks" / "course" / "course.db", width=900)
    take("experiments", EXPERIMENT, width=900)
