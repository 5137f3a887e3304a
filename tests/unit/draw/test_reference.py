"""Markdown is read as its specifications say, but for what our policy changes.

``reference.json`` holds the examples of the CommonMark specification 0.31.2 and those of the
extensions of GitHub Flavored Markdown 0.29, by John MacFarlane, under CC BY-SA 4.0: name, section,
Markdown, HTML.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt

from tests.unit.draw.reading import markdown_html

EXAMPLES = json.loads(Path(__file__).with_name("reference.json").read_text("utf-8"))
_BLOCKS = "p|h[1-6]|ul|ol|li|blockquote|pre|table|thead|tbody|tr|td|th|hr|br"
_RENAMED = {"del": "s"}

#: What differs, by what the specification draws and we do not; the first that fits counts.
POLICY: dict[str, Callable[[str, str, str], bool]] = {
    "images are links": lambda _, wanted, __: "<img" in wanted,
    "raw HTML is text": lambda markdown, *_: _has_html(markdown),
    "relative links and other schemes are text": lambda _, wanted, __: bool(
        re.search(r"<a>|href=(?!https?:|mailto:)", wanted)
    ),
    "bare addresses are links": lambda _, wanted, drawn: drawn.count("<a ") > wanted.count("<a "),
    "addresses without a scheme are text": lambda _, wanted, __: bool(
        re.search(r">(www\.|[^<>\s]+@)", wanted)
    ),
}


def _has_html(markdown: str) -> bool:
    tokens = MarkdownIt("commonmark").parse(markdown)
    return any(
        part.type in ("html_block", "html_inline")
        for token in tokens
        for part in (token, *(token.children or ()))
    )


class _Reader(HTMLParser):
    """Reads HTML to what is compared: no frames, no styles, blanks as one."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._in_pre = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        if tag == "input":
            self.parts.append("\u2611" if "checked" in has else "\u2610")
            return
        if self._is_frame(tag):
            return
        self._in_pre = self._in_pre or tag == "pre"
        aligned = re.search(r"text-align:\s*(left|center|right)", has.get("style") or "")
        kept = [has.get(name) for name in ("href", "start")]
        kept.append(has.get("align") or (aligned[1] if aligned and tag in ("td", "th") else None))
        names = [f" {n}={v}" for n, v in zip(("href", "start", "align"), kept, strict=True) if v]
        self.parts.append(f"<{_RENAMED.get(tag, tag)}{''.join(names)}>")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("br", "hr", "input") and not self._is_frame(tag):
            self._in_pre = self._in_pre and tag != "pre"
            self.parts.append(f"</{_RENAMED.get(tag, tag)}>")

    def handle_data(self, data: str) -> None:
        self.parts.append(escape(data if self._in_pre else re.sub(r"\s+", " ", data), quote=False))

    def handle_comment(self, data: str) -> None:
        self.parts.append(f"<!{data}>")

    def _is_frame(self, tag: str) -> bool:
        return tag in ("div", "span") or (tag == "code" and self._in_pre)


def read(html: str) -> str:
    """What stands on the page."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    whole = re.sub(r"(<pre>)\n+|\n+(</pre>)", r"\1\2", "".join(reader.parts))
    whole = re.sub(rf" *(</?(?:{_BLOCKS})\b[^<>]*>)", r"\1", whole)
    return re.sub(rf"(</?(?:{_BLOCKS})\b[^<>]*>) *(?![^<]*</pre>)", r"\1", whole).strip()


def absolute(text: str) -> str:
    """The same example with links that are links for us too."""
    return re.sub(r"(?<![\w/:.])/(ur[il]\d?)\b", r"mailto:a@a.org?\1", text)


def test_markdown_is_read_as_specified() -> None:
    """Every example is drawn as the specification says, or differs by a rule of the policy."""
    same, by_policy, others = 0, Counter[str](), []
    for name, _section, markdown, html in EXAMPLES:
        drawn = read(markdown_html(absolute(markdown))) if markdown.strip() else ""
        wanted = read(absolute(html))
        if drawn == wanted:
            same += 1
            continue
        rule = next((rule for rule, fits in POLICY.items() if fits(markdown, wanted, drawn)), "")
        by_policy[rule] += 1
        if not rule:
            others.append((name, markdown, wanted, drawn))
    assert others == []
    assert same == 538
    assert by_policy == {
        "raw HTML is text": 72,
        "relative links and other schemes are text": 30,
        "images are links": 23,
        "addresses without a scheme are text": 10,
        "bare addresses are links": 3,
    }
