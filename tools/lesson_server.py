"""What ``notebooks/course/rag.ipynb`` is recorded from: a model, a page, a search and a picture.

The model says what stands here; what the lesson shows is how it is asked and kept.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.servers.openai import OpenAIServer, Reply, last_text

#: Where the lesson looks for it.
PORT = 8931

PAGE = """<!doctype html>
<html><head><title>The town library</title></head><body>
<h1>The town library</h1>
<p>The library stands on the market square, in the old corn hall. It holds forty thousand books,
and a room of maps that is older than the town hall.</p>
<h2>Opening hours</h2>
<p>The library is open from nine to six on weekdays. On Saturday it closes at one. On Sunday the
reading room alone is open, from two to five, and no book can be borrowed.</p>
<h2>Borrowing</h2>
<p>A reader may borrow ten books for four weeks. A loan can be renewed twice, unless somebody else
waits for the book. Maps are never lent: they are read in the map room, at the long table.</p>
<h2>Quiet and noise</h2>
<p>The second floor is silent. The ground floor is not: children read aloud there on Wednesday
afternoon, and the chess club meets on Thursday evening.</p>
</body></html>
"""
FOUND = {
    "concert": "On Friday at eight a string quartet plays in the map room. Entry is free.",
    "": "Nothing was found.",
}
SAID = {
    "sunday": "On Sunday only the reading room is open, from two to five; you cannot borrow.",
    "maps": "No. Maps are never lent; they are read at the long table in the map room.",
    "concert": Reply(tool_calls=[("search", {"words": "concert this week"})]),
    "quartet": "Yes: on Friday at eight a string quartet plays in the map room, free of charge.",
    "one word": "Library.",
    "three words": "Books, maps, silence.",
}


class LessonServer(OpenAIServer):
    """OpenAI's protocol, ``/library.html``, ``/search?q=...`` and the pictures of mermaid.ink."""

    def __init__(self) -> None:
        super().__init__(_say, port=PORT)

    def page(self, path: str) -> tuple[str, bytes] | None:
        """Return a page, what a search finds, or the picture of a graph."""
        url = urlsplit(path)
        if url.path == "/library.html":
            return "text/html; charset=utf-8", PAGE.encode()
        if url.path == "/search":
            words = parse_qs(url.query)["q"][0]
            found = next(text for word, text in FOUND.items() if word in words)
            return "application/json", json.dumps({"found": found}).encode()
        return ("image/png", _picture()) if url.path.startswith("/img/") else None


def _say(body: Mapping[str, Any]) -> str | Reply:
    question = re.split("question: ", last_text(body), flags=re.IGNORECASE)[-1].lower()
    return next(said for word, said in SAID.items() if word in question)


def _picture() -> bytes:
    """Return the graph of an agent with tools as a small picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.2, 2.2), dpi=80)
    axes = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[], xlim=(0, 1))
    places = {"start": (0.5, 0.9), "model": (0.5, 0.5), "tools": (0.25, 0.1), "end": (0.75, 0.1)}
    for one, other in (("start", "model"), ("model", "tools"), ("model", "end")):
        style = "<->" if other == "tools" else "->"
        arrow = {"arrowstyle": style, "shrinkA": 12, "shrinkB": 12}
        axes.annotate("", places[other], places[one], arrowprops=arrow)
    for name, place in places.items():
        axes.text(*place, name, ha="center", va="center", bbox={"boxstyle": "round", "fc": "w"})
    axes.set_ylim(0, 1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
