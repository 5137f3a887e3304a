"""Record a lesson, then replay it and write its outputs.

OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=... python tools/record_lesson.py LESSON
python tools/record_lesson.py --stand-in notebooks/course/rag.ipynb
python tools/record_lesson.py notebooks/experiments.ipynb

The file beside the notebook that it opens is made anew, with exactly what the lesson asks for. The
notebook, which replays that file, is then executed without a key, and its outputs are written into
it. ``--stand-in`` answers from ``lesson_server``; the experiments want SmolLM2-135M-Instruct at
port 8000: ``python -m llama_cpp.server --model_alias SmolLM2-135M-Instruct --model FILE``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import nbformat
from lesson_server import LessonServer
from show_notebook import execute

from jupyter_llmcache.course import check, export_database
from jupyter_llmcache.stores.sqlite import SQLiteStore


def course_of(lesson: Path) -> Path:
    """Return the file that ``lesson`` opens."""
    [name] = re.findall(r"%llm_cache sqlite (\S+\.db) --read-only", lesson.read_text("utf-8"))
    return lesson.with_name(name)


def record(lesson: Path) -> bool:
    """Run ``lesson`` and put what it asked for into its file; return whether all went well."""
    with tempfile.TemporaryDirectory() as folder:
        copy, recorded = Path(folder, lesson.name), Path(folder, "recorded.db")
        shutil.copyfile(lesson, copy)
        _copy_pictures(lesson, Path(folder))
        report = check.record([str(copy)], str(recorded))
        print(report)
        with closing(SQLiteStore(recorded)) as store:
            export_database(store, course_of(lesson))
    return report.ok


def replay(lesson: Path) -> None:
    """Run ``lesson`` as it is, without a key, and write its outputs into it."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(course_of(lesson), folder)
        _copy_pictures(lesson, Path(folder))
        nbformat.write(execute(lesson, Path(folder)), lesson)


def _copy_pictures(lesson: Path, folder: Path) -> None:
    """Copy what ``lesson`` attaches."""
    for name in re.findall(r"--attach (\S+\.png)", lesson.read_text("utf-8")):
        shutil.copy(lesson.with_name(name), folder)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lesson", type=Path)
    parser.add_argument("--stand-in", action="store_true", help="answer from lesson_server")
    options = parser.parse_args()
    if options.stand_in:
        os.environ["OPENAI_API_KEY"] = "none"
    with LessonServer() if options.stand_in else contextlib.nullcontext():
        well = record(options.lesson)
    replay(options.lesson)
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
