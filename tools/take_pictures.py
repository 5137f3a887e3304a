"""Take the README's pictures of a notebook in a real JupyterLab, light and dark.

OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=... python tools/take_pictures.py MODEL
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.system.browser import lab as labs  # noqa: E402  # the folder above is not installed

CELLS = (
    'from langchain_openai import ChatOpenAI\nllm = ChatOpenAI(model="{model}", temperature=0)',
    "%load_ext jupyter_llmcache\n%llm_cache sqlite .langchain.db",
    "%%llm\nWhat is photosynthesis? Answer in one sentence.",
    "%%llm\nWhat is photosynthesis? Answer in one sentence.",
    """words = ["chlorophyll", "photosynthesis"]
answers = llm.batch([f"What is {word}? Answer in one sentence." for word in words])""",
    "%llm_cache list",
)
#: The cells but for the first one, which no picture needs.
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


def take(model: str, docs: Path) -> None:
    """Run the cells against ``model`` and write the pictures into ``docs``."""
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        cells = [cell.replace("{model}", model) for cell in CELLS]
        labs.write_notebook(Path(folder, "cache.ipynb"), cells)
        with (
            sync_playwright() as driver,
            driver.chromium.launch(
                executable_path=labs.chromium(), args=list(labs.CHROMIUM_FLAGS)
            ) as browser,
            labs.running_lab(Path(home), Path(folder)) as lab,
        ):
            size = {"width": 1150, "height": 1100}
            notebook = labs.NotebookPage.open(browser, lab, "cache.ipynb", viewport=size)
            notebook.command("application:toggle-left-area")
            notebook.run_all()
            notebook.page.evaluate(HIDE_FIRST)
            for name, theme in (("light", "JupyterLab Light"), ("dark", "JupyterLab Dark")):
                notebook.command("apputils:change-theme", theme=theme)
                notebook.page.wait_for_timeout(1500)
                clip = notebook.page.evaluate(CLIP)
                notebook.page.screenshot(path=docs / f"notebook_{name}.png", clip=clip)
            notebook.close()


if __name__ == "__main__":
    take(sys.argv[1], ROOT / "docs")
