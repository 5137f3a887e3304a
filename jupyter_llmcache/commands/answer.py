"""What the magics return: values that draw themselves in a notebook and in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from ..draw import Format, answer_bundles, draws_html, publish
from ..draw.line import (
    NOTHING_BEHIND,
    Behind,
    Line,
    answer_line,
    note_html,
)
from ..draw.sanitize import IGNORE_MATH
from ..draw.table import SEPARATOR, row_lines, rows_html, sections_html
from ..errors import LLMCacheError
from ..ledger import LEDGER, Call
from ..text import (
    Printed,
    cut,
    format_bytes,
    format_count,
    format_seconds,
    one_line,
    visible,
    wrapped,
)


@dataclass(frozen=True)
class Answer:
    """A model's or a chain's answer, and what it took to get it.

    Attributes:
        text: The answer as text; ``str(answer)``.
        message: The model's message; None for a chain that made more than one call, or none.
        cached: Whether every model call was answered by the cache.
        wall_s: How long the person waited, in seconds.
        cpu_s: Processor time of this process in that while, in seconds.
        saved_s: Provider time that the cache saved, in seconds; None when fresh or not known.
        usage: LangChain's ``usage_metadata``; None where the provider told none.
        key: The request's key in hexadecimal; None when it is not cacheable or not the only one.
        model: ``provider:name``.
        calls: One event for every model call.
        result: What the chain returned; of a chat model, the message.
        format: How the text is drawn.
        stable: Whether the annotation tells only what does not differ from run to run.
        messages: The whole conversation, the answer last.
        coords: Which of several answers it is: ``model`` is the word behind -m; ``sample``; and the
            names of --each and --vary.
        items: Which of the coordinates are those of ``--each``.
        error: Why there is no answer, on one line: among several answers, or where its text does
            not fit what was asked for.
        asked: The word behind -m that asks the same model to go on; empty where it takes no
            conversation.
    """

    text: str
    message: AIMessage | None
    cached: bool
    wall_s: float
    cpu_s: float
    saved_s: float | None
    usage: Mapping[str, Any] | None
    key: str | None
    model: str
    calls: tuple[Call, ...]
    result: Any = None
    format: Format = "markdown"
    stable: bool = False
    messages: tuple[BaseMessage, ...] = ()
    coords: Mapping[str, Any] = field(default_factory=dict)
    items: tuple[str, ...] = ()
    error: str = ""
    asked: str = ""

    @property
    def code(self) -> str:
        """The code of the answer: its fenced blocks, else all of it; nothing in it is invisible."""
        from ..draw.markdown import code_blocks

        return "\n".join(code.rstrip("\n") + "\n" for _, code in code_blocks(visible(self.text)))

    def to_next_cell(self) -> None:
        """Put ``code`` into the next cell, where it can be read before it is run."""
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if shell is not None:
            shell.set_next_input(self.code.rstrip())

    def __str__(self) -> str:
        return self.text

    @property
    def line(self) -> str:
        """The line under the answer."""
        return str(self._line())

    def show_text(self) -> None:
        """Draw the text, in a notebook or a terminal."""
        if draws_html():
            for bundle in answer_bundles(self.text, self.format):
                publish(bundle)
        else:
            print(visible(self.text))  # noqa: T201  # what was asked for

    def show_line(self) -> None:
        """Draw what the model drew, and the line under the answer, in a notebook."""
        for block in _pictures(self.message):
            image = f'<img src="{_address(block)}" alt="from the model" style="max-width:100%">'
            publish({"text/html": f"<div>{image}</div>", "text/plain": f"[{_name(block)}]"})
        line = self._line(self.behind())
        publish({"text/html": line._repr_html_(), "text/plain": str(line)})
        LEDGER.tell(self.calls)

    def behind(self) -> Behind:
        """Return what stands under the line's triangle beside what each call took.

        It is of the newest question and its answer; a text among what is attached needs no telling.
        """
        messages = self.messages
        is_plain = len(self.calls) < 2 and all(isinstance(m.content, str) for m in messages)
        if is_plain and not self.error:
            return NOTHING_BEHIND
        asked = max((n for n, m in enumerate(messages) if isinstance(m, HumanMessage)), default=-1)
        content = messages[asked].content if asked >= 0 else ""
        blocks = [
            block
            for block in (content if isinstance(content, list) else ())
            if isinstance(block, dict) and block.get("type") in ("image", "file", "audio")
        ]
        came = [message for message in messages[asked + 1 :] if isinstance(message, AIMessage)]
        rows = [("attached", _name(block)) for block in blocks]
        if tools := [call["name"] for message in came for call in message.tool_calls]:
            counts = (
                format_count(len(self.calls), "LLM call"),
                format_count(len(tools), "tool call"),
            )
            rows.insert(
                0, ("steps", f"{SEPARATOR.join(counts)}: {', '.join(dict.fromkeys(tools))}")
            )
        pictures = [
            _address(block)
            for block in blocks
            if block["type"] == "image" and 0 < _size_bytes(block) <= _MAX_DRAWN_BYTES
        ]
        return Behind(rows, pictures, self.text if self.error else "")

    def _line(self, behind: Behind = NOTHING_BEHIND) -> Line:
        return answer_line(
            self.calls,
            model=self.model,
            wall_s=self.wall_s,
            stable=self.stable,
            behind=behind,
        )

    def __repr__(self) -> str:
        return f"<Answer {one_line(self.text, 60)!r}: {self.line}>"

    def _ipython_display_(self) -> None:
        if not draws_html():
            raise NotImplementedError  # IPython then asks for the text
        if not take_shown(self):
            self.show_text()
            self.show_line()

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        told = repr(self)
        if len(printer.stack) == 1:  # it stands alone
            LEDGER.tell(self.calls)
            told = f"{cut(visible(self.text))}\n\n{self.line}"
            if take_shown(self):  # the text stands there already
                told = f"{self.line}\n"  # more than a line stands below IPython's prompt
        printer.text(told)


class Interrupted(KeyboardInterrupt):
    """Stopped by hand: one line, and what had come until then.

    Attributes:
        answer: The answers, or the part of one, that are there; None where there is nothing.
    """

    def __init__(self, line: str, answer: Any = None) -> None:
        super().__init__(line)
        self.answer = answer

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class UnfitError(LLMCacheError):
    """What came is not what was asked for; ``answer`` has it all the same."""

    def __init__(self, what: str, answer: Any, remedy: str = "The answer's text is in _") -> None:
        super().__init__(what, remedy)
        self.answer = answer


def note_shown(answer: Answer) -> None:
    """Note that ``answer`` was drawn in this cell while it came.

    The display hook, which gets it as the cell's value, must not draw it a second time.
    """
    vars(answer)["_shown_in"] = LEDGER.cell


def take_shown(answer: Answer) -> bool:
    """Return whether ``answer`` was drawn in this cell; asked again, say no."""
    return bool(vars(answer).pop("_shown_in", "nowhere") == LEDGER.cell)


#: What a browser only shows; a picture of another kind may act.
_PICTURE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
#: A larger picture that was sent is named and not drawn: the file would hold it again.
_MAX_DRAWN_BYTES = 200_000


def text_of_message(message: BaseMessage) -> str:
    """Return a message's text; where it has none, what it says in another way."""
    return str(message.text) or "\n\n".join(_said_otherwise(message))


def _said_otherwise(message: BaseMessage) -> Iterator[str]:
    """Yield why a message refuses, which tools it calls, what it speaks, and its pictures."""
    content = message.content if isinstance(message.content, list) else []
    refused = [block.get("refusal") for block in content if isinstance(block, dict)]
    for words in (message.additional_kwargs.get("refusal"), *refused):
        if words and isinstance(words, str):
            yield words
    for call in message.tool_calls if isinstance(message, AIMessage) else ():
        arguments = ", ".join(f"{name}={value!r}" for name, value in call["args"].items())
        yield f"calls {call['name']}({arguments})"
    for broken in message.invalid_tool_calls if isinstance(message, AIMessage) else ():
        yield f"calls {broken['name']}, with what is not JSON: {broken['args']}"
    if isinstance(spoken := message.additional_kwargs.get("audio"), dict):
        yield str(spoken.get("transcript") or "[audio]")
    yield from (f"[{_name(block)}]" for block in _pictures(message))


def _pictures(message: BaseMessage | None) -> list[Mapping[str, Any]]:
    """Return the pictures that a model put into its message, whatever its provider calls them."""
    if message is None or isinstance(message.content, str):
        return []
    blocks: Sequence[Mapping[str, Any]] = message.content_blocks
    return [b for b in blocks if b.get("mime_type") in _PICTURE_TYPES and _size_bytes(b) > 0]


def _address(block: Mapping[str, Any]) -> str:
    return escape(f"data:{block['mime_type']};base64,{block['base64']}")


def _name(block: Mapping[str, Any]) -> str:
    size_bytes = _size_bytes(block)
    size = format_bytes(size_bytes) if size_bytes else block.get("url")
    return SEPARATOR.join(filter(None, (block.get("mime_type") or block["type"], size)))


def _size_bytes(block: Mapping[str, Any]) -> int:
    """Return the size of a block's own bytes; 0 where it has none."""
    encoded = block.get("base64") or ""
    return len(encoded) * 3 // 4 - encoded[-2:].count("=") if block.get("mime_type") else 0


@dataclass(frozen=True, repr=False)
class CacheStatus(Printed):
    """What a bare ``%llm_cache`` returns.

    Attributes:
        backend: "memory", "sqlite", "redis", "other" or "off".
        location: The file as it was given; empty where there is none.
        mode: "auto", "replay", "refresh" or "bypass".
        entries: Number of entries; None where the backend cannot tell.
        size_bytes: Size of the file; None where there is none.
        hits, misses, stored: This session's counts.
        saved_s: Provider time that this session saved, in seconds.
        notices: What the person should know, as one line each.
        next_steps: What one can do next, as lines to type.
    """

    backend: str
    location: str
    mode: str
    entries: int | None
    size_bytes: int | None
    hits: int
    misses: int
    stored: int
    saved_s: float
    notices: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()

    def lines(self) -> list[tuple[str, str]]:
        """Return the rows of the drawing: what, and its value."""
        size = "" if self.size_bytes is None else format_bytes(self.size_bytes)
        entries = "" if self.entries is None else format_count(self.entries, "entry")
        session = [
            f"{self.hits:,} cached",
            f"{self.misses:,} fresh",
            f"{self.stored:,} stored",
            f"saved {format_seconds(self.saved_s)}",
        ]
        rows = [
            ("cache", SEPARATOR.join(filter(None, (self.backend, one_line(self.location))))),
            ("mode", self.mode),
            ("holds", SEPARATOR.join(filter(None, (entries, size)))),
            ("session", SEPARATOR.join(session)),
            *(("notice", one_line(notice, 300)) for notice in self.notices),
            ("next", SEPARATOR.join(self.next_steps)),
        ]
        return [(what, value) for what, value in rows if value]

    def __str__(self) -> str:
        return "\n".join(row_lines(self.lines()))

    def _repr_html_(self) -> str:
        return rows_html(self.lines())


@dataclass(frozen=True, repr=False)
class PromptPreview(Printed):
    """What a model would be sent, for ``--show-prompt``.

    Attributes:
        messages: (role, text) of every message, in order.
        model: ``provider:name``.
        key: The request's key in hexadecimal; None when it is not cacheable.
        cached: Whether the cache holds the answer.
        reason: Why it is not cacheable; None when it is.
        questions: How many questions there are, of which this is the first.
        held: How many of them the cache holds.
    """

    messages: tuple[tuple[str, str], ...]
    model: str
    key: str | None
    cached: bool
    reason: str | None = None
    questions: int = 1
    held: int = 0

    def __str__(self) -> str:
        parts = [f"{role}:\n{visible(text)}" for role, text in self.messages]
        return "\n\n".join([*parts, wrapped(self._verdict())])

    def _verdict(self) -> str:
        held = "in the cache" if self.cached else "not in the cache"
        told = f"not cacheable: {one_line(self.reason)}" if self.reason else held
        first = [told, one_line(self.model), *([self.key[:8]] if self.key else [])]
        if self.questions > 1:
            first.insert(0, f"the first of {format_count(self.questions, 'question')}")
            first.append(f"{self.held:,} of all in the cache")
        return SEPARATOR.join(first)

    def _repr_html_(self) -> str:
        sent = f'<div class="{IGNORE_MATH}">{sections_html(self.messages)}</div>'
        return sent + note_html(escape(self._verdict()), "LLM prompt")
