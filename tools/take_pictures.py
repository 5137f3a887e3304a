"""Take the pictures of README and docs in a real JupyterLab, light and dark.

OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=... python tools/take_pictures.py MODEL
python tools/take_pictures.py    those of docs/course.md and experiments.md, which need no model
python tools/take_pictures.py --gallery FOLDER
    every state that people see: light and dark, wide and narrow, as where styles are stripped,
    and as in a terminal; FOLDER/index.html shows all of them
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# The folder above is not installed.
from tests.system.browser import lab as labs  # noqa: E402
from tests.system.browser.states import MOVING, MOVING_SETUP, served_states  # noqa: E402

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
#: Media types and texts of every cell's outputs.
OUTPUTS = """() => jupyterapp.shell.currentWidget.content.widgets.map(cell =>
    cell.model.outputs.toJSON().map(output => output.data || {
        'text/plain': output.text || `${output.ename}: ${output.evalue}`
    }))"""
HIDE_FIRST = """() => {
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = 0;
    notebook.widgets[0].node.style.visibility = 'hidden';
    notebook.node.scrollTop = 0;
}"""


#: Pixels; the gallery's height shows every cell whole.
WIDE, NARROW, HEIGHT, TALL = 1150, 420, 1100, 3200
SHADES = ("light", "dark")


@contextmanager
def opened(
    cells: Sequence[str], files: Sequence[Path] = (), width: int = WIDE
) -> Iterator[labs.NotebookPage]:
    """Open a notebook with ``cells``, beside ``files``, in a JupyterLab of its own."""
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        labs.write_notebook(Path(folder, "cache.ipynb"), cells, goes_on=True)
        for file in files:
            shutil.copy(file, folder)
        with (
            sync_playwright() as driver,
            driver.chromium.launch(
                executable_path=labs.chromium(), args=list(labs.CHROMIUM_FLAGS)
            ) as browser,
            labs.running_lab(Path(home), Path(folder)) as lab,
        ):
            size = {"width": width, "height": HEIGHT}
            notebook = labs.NotebookPage.open(browser, lab, "cache.ipynb", viewport=size)
            notebook.command("application:toggle-left-area")
            yield notebook
            notebook.close()


def shaded(notebook: labs.NotebookPage) -> Iterator[str]:
    """Yield each theme's name while the page has it."""
    for shade in SHADES:
        notebook.command("apputils:change-theme", theme=f"JupyterLab {shade.title()}")
        notebook.page.wait_for_timeout(1500)
        yield shade


def take(name: str, cells: Sequence[str], *files: Path, width: int = WIDE) -> None:
    """Run ``cells`` beside ``files`` and write the pictures of the name into ``docs``."""
    with opened(cells, files, width) as notebook:
        notebook.run_all()
        notebook.page.wait_for_timeout(5000)
        notebook.page.evaluate(HIDE_FIRST)
        for shade in shaded(notebook):
            clip = notebook.page.evaluate(CLIP)
            notebook.page.screenshot(path=ROOT / "docs" / f"{name}_{shade}.png", clip=clip)


def take_gallery(folder: Path) -> None:
    """Write a picture of every state and an ``index.html`` that shows them all."""
    folder.mkdir(parents=True, exist_ok=True)
    with served_states() as states, opened([*states.values(), MOVING_SETUP]) as notebook:
        notebook.run_all()
        notebook.page.wait_for_timeout(5000)
        outputs = notebook.page.evaluate(OUTPUTS)
        for shade in shaded(notebook):
            for size, width in (("wide", WIDE), ("narrow", NARROW)):
                notebook.page.set_viewport_size({"width": width, "height": TALL})
                notebook.page.wait_for_timeout(1500)
                for number, name in enumerate(states):
                    _take_cell(notebook.page, number, folder / f"{_file(name)}_{shade}_{size}.png")
        notebook.page.set_viewport_size({"width": WIDE, "height": HEIGHT})
        for name, (cell, after_s) in MOVING.items():
            notebook.edit(len(states), f"{MOVING_SETUP}\n")
            notebook.run_cell(len(states))
            notebook.edit(len(states), cell)
            notebook.command("notebook:run-cell", wait=False)
            notebook.page.wait_for_timeout(1000 * after_s)
            _take_cell(notebook.page, len(states), folder / f"{_file(name)}_dark_wide.png")
            notebook.wait_until_idle()
    sections = [_section(name, number, outputs) for number, name in enumerate([*states, *MOVING])]
    (folder / "index.html").write_text(f"<meta charset=utf-8>{''.join(sections)}")


def _file(name: str) -> str:
    return re.sub(r"\W+", "_", name).lower()


def _take_cell(page: Page, number: int, path: Path) -> None:
    page.locator(".jp-Notebook .jp-Cell").nth(number).screenshot(path=path)


def _section(name: str, number: int, outputs: Sequence[Sequence[dict[str, str]]]) -> str:
    pictures = "".join(
        f'<img src="{_file(name)}_{shade}_{size}.png" loading="lazy" alt="">'
        for size in ("wide", "narrow")
        for shade in SHADES
    )
    drawn = outputs[number] if number < len(outputs) else ()
    stripped = "".join(
        re.sub(r' (?:style|class)="[^"]*"', "", output.get("text/html", "")) for output in drawn
    )
    plain = "\n".join(output.get("text/plain", "") for output in drawn)
    return (
        f"<h2>{escape(name)}</h2>{pictures}<div>{stripped}</div>"
        f'<pre style="width:80ch;white-space:pre-wrap">{escape(plain)}</pre>'
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--gallery"]:
        take_gallery(Path(sys.argv[2]))
    else:
        for model in sys.argv[1:]:
            take("notebook", [cell.replace("{model}", model) for cell in README])
        take("course", LESSON, ROOT / "notebooks" / "course" / "course.db", width=900)
        take("experiments", EXPERIMENT, width=900)
