"""Replays a lesson in this process, every socket call of which fails, and prints what it showed.

    python tests/system/notebooks/replay_lesson.py LESSON

Run it by different interpreters and in different environments: all must show the same.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


def replay(lesson: Path) -> Iterator[list[Any]]:
    """Run the lesson's cells of code; yield for each what it showed: texts, HTML, an error."""
    from tests.shells import open_shell

    cells = json.loads(lesson.read_text("utf-8"))["cells"]
    with tempfile.TemporaryDirectory() as folder, open_shell(Path(folder)) as shell:
        for cell in cells:
            if cell["cell_type"] == "code":
                run = shell.run("".join(cell["source"]), check=False)
                # Outside a notebook an error is printed too.
                told = (
                    run.stdout if run.error is None else f"{type(run.error).__name__}: {run.error}"
                )
                yield [*filter(None, [told]), *([o.text, o.html] for o in run.outputs)]


def main(lesson: Path) -> None:
    """Print as JSON what was shown, what the calls were, what was tried to be sent, how long."""
    from tests import network

    with network.forbidden(loopback=False) as guard:
        began = time.perf_counter()
        shown = list(replay(lesson))
        took_s = time.perf_counter() - began
    import jupyter_llmcache

    kinds = [call.kind for call in jupyter_llmcache.calls()]
    told = {"shown": shown, "kinds": kinds, "attempts": guard.attempts, "took_s": took_s}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(ROOT))
    main(Path(sys.argv[1]))
