"""Record a lesson's answers from a real model, then replay it and write its outputs.

OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=... python tools/record_lesson.py LESSON

``course.db`` beside the notebook is made anew, with exactly what the lesson asks for. The notebook,
which replays that file, is then executed without a key, and its outputs are written into it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from show_notebook import execute, show

COURSE = "course.db"
#: The lines of the lesson that turn replay on, and what stands for them while it is recorded.
REPLAY, RECORD = f"{COURSE} --read-only\n%llm_cache mode replay", "new.db"


def record(lesson: Path) -> None:
    """Run ``lesson`` against the model and put what it asked for into the course file."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = nbformat.read(lesson, as_version=4)
        recording = Path(folder, lesson.name)
        notebook.cells = [
            c for c in notebook.cells if "raises-exception" not in c.metadata.get("tags", [])
        ]
        for cell in notebook.cells:
            cell.source = cell.source.replace(REPLAY, RECORD)
        notebook.cells.append(nbformat.v4.new_code_cell(f"%llm_cache export {COURSE} --used"))
        nbformat.write(notebook, recording)
        show(execute(recording, Path(folder)))
        shutil.copyfile(Path(folder, COURSE), lesson.with_name(COURSE))


def replay(lesson: Path) -> None:
    """Run ``lesson`` as it is, without a key, and write its outputs into it."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(lesson.with_name(COURSE), Path(folder, COURSE))
        nbformat.write(execute(lesson, Path(folder)), lesson)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lesson", type=Path)
    lesson = parser.parse_args().lesson
    record(lesson)
    replay(lesson)
    return 0


if __name__ == "__main__":
    sys.exit(main())
