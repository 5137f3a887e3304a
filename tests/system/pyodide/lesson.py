"""What runs in Pyodide: the course's lesson, and a walk with the canned model; prints JSON."""

import importlib.machinery
import json
import shutil
import sys
import types
import warnings
from pathlib import Path

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

WALK = [
    "%config LLMCache.stable = False",
    "%llm_cache mode auto",
    "%llm_cache sqlite .langchain.db",
    "%%llm -m demo\nTell me a joke",
    "%%llm -m demo\nTell me a joke",
    "topics = ['cats', 'dogs']",
    "%%llm -m demo --each topic=topics\nAbout {{topic}}",
    "%llm_cache import course.db",
    "%llm_cache list",
]


class Cleaner:
    """In the place of nh3's, which no registry has for Pyodide."""

    def __init__(self, **_: object) -> None:
        pass

    def clean(self, html: str) -> str:
        return html


def stand_in(name: str, **content: object) -> None:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(content)
    sys.modules[name] = module


warnings.simplefilter("ignore")
stand_in("nh3", Cleaner=Cleaner)
stand_in("tiktoken", Encoding=object)  # langchain-openai imports it and a lesson does not use it
shutil.copy("/checkout/notebooks/course/course.db", "course.db")
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config, colors="NoColor")
shell.display_pub = CapturingDisplayPublisher(parent=shell)
notebook = json.loads(Path("/checkout/notebooks/course/lesson.ipynb").read_text())
lesson = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
told = []
for source in [*lesson, *WALK]:
    shell.display_pub.outputs.clear()
    ran = shell.run_cell(source)
    fault = ran.error_in_exec
    told.append(
        {
            "source": source,
            "outputs": [output["data"]["text/plain"] for output in shell.display_pub.outputs],
            "result": "" if ran.result is None else str(ran.result),
            "error": f"{type(fault).__name__}: {fault}" if fault else "",
        }
    )
sys.stdout.write(f"\nTOLD{json.dumps(told)}\n")
