"""A recalled answer as a stream, and a stream's pieces as they came."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)

from ..answer.pieces import Piece
from .place import id_of

#: The parts of a message that are lists or dicts.
_CONTAINERS = (
    "content",
    "additional_kwargs",
    "response_metadata",
    "tool_calls",
    "invalid_tool_calls",
    "tool_call_chunks",
    "usage_metadata",
)


def chat_chunks(
    generation: ChatGeneration, *, numbered: bool = False
) -> Iterator[ChatGenerationChunk]:
    """Yield ``generation``, which holds an AIMessage, as one chunk.

    More would have to add up to the very same message, which no reader of LangChain's pieces
    guarantees: adding parses tool calls anew, and joins blocks by rules of each release.

    Args:
        generation: The answer.
        numbered: Number standard blocks each for itself, before LangChain's own stream numbers
            them by their kinds, so that two of a kind would be added up.
    """
    message = cast("AIMessage", generation.message)
    content = _numbered(message) if numbered else message.content
    # A stream numbers a call as the block that it stands in.
    places = {
        _call_id(block): block.get("index", place)
        for place, block in enumerate(content)
        if isinstance(block, dict)
    }
    calls = [
        ToolCallChunk(
            name=name, args=args, id=id_, index=places.get(id_, place), type="tool_call_chunk"
        )
        for place, (name, args, id_) in enumerate(_calls(message))
    ]
    # Past pydantic, because a chunk made in the common way reads its calls out of their pieces.
    chunk = AIMessageChunk.model_construct(
        **{
            **message.__dict__,
            **(message.model_extra or {}),
            "content": content,
            "type": "AIMessageChunk",
            "tool_call_chunks": calls,
            "chunk_position": "last",
        }
    )
    yield ChatGenerationChunk(message=chunk, generation_info=generation.generation_info)


#: The fields of a chunk that are empty lists and dicts where nothing is said.
_BLANK: Mapping[str, Callable[[], Any]] = {
    name: type(value)
    for name, value in AIMessageChunk(content="").__dict__.items()
    if value in ([], {})
}


def chunks_in_pieces(
    generation: Generation, pieces: Iterable[Piece]
) -> Iterator[ChatGenerationChunk | GenerationChunk]:
    """Yield ``generation`` in the pieces in which it came."""
    id_ = id_of(generation)
    for content, fields, info in pieces:
        if not isinstance(generation, ChatGeneration):
            yield GenerationChunk(text=content, generation_info=info)
            continue
        if "tool_call_chunks" in fields:
            message = AIMessageChunk(content=content, id=id_, **fields)
        else:  # without the reading of calls, and of defaults, which takes most of making a chunk
            blank = {name: make() for name, make in _BLANK.items()}
            message = AIMessageChunk.model_construct(
                **{**blank, **fields, "content": content, "id": id_}
            )
        yield ChatGenerationChunk(message=message, generation_info=info)


def text_chunks(generation: Generation) -> Iterator[GenerationChunk]:
    """Yield ``generation`` of a text model as one chunk."""
    yield GenerationChunk(text=generation.text, generation_info=generation.generation_info)


# --- a fresh answer as its caller will see it ---


def in_blocks(generation: Any, model: Any) -> Any:
    """Return an answer's message with the content that LangChain gives it behind the provider.

    That is standard blocks, where the model asks for ``output_version="v1"``. What they are read
    by may stand beside the message: LangChain puts the two together first.
    """
    message = generation.message
    if getattr(model, "output_version", None) != "v1":
        return message
    metadata = {**(generation.generation_info or {}), **message.response_metadata}
    return standard(message.model_copy(update={"response_metadata": metadata}))


def standard(message: Any) -> Any:
    """Return a message with its content in standard blocks."""
    metadata = {**message.response_metadata, "output_version": "v1"}
    return message.model_copy(
        update={"content": message.content_blocks, "response_metadata": metadata}
    )


class Numbering:
    """Does to the chunks of one stream what ``in_blocks`` does to an answer.

    LangChain finds that done, and leaves it so. It also numbers the blocks: those of one kind in
    a row are parts of one.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._kind = ""
        self._number = -1

    def write(self, chunk: Any) -> None:
        """Write a chunk's content in blocks, if its message is to have them."""
        message = getattr(chunk, "message", None)
        if message is None or (written := in_blocks(chunk, self._model)) is message:
            return
        chunk.message = written
        for block in written.content:
            if block["type"] != self._kind:
                self._kind = block["type"]
                self._number += 1
            block.setdefault("index", self._number)


def whole_message(total: AIMessageChunk) -> Any:
    """Return the message that the sum of a stream's chunks is."""
    if total.chunk_position != "last" and total.response_metadata.get("output_version") == "v1":
        # As LangChain ends a stream: only then are the pieces of calls among the blocks read.
        total += AIMessageChunk(content=[], chunk_position="last")
    message = _read_strictly(total, message_chunk_to_message(total))
    pieces = message.content
    if isinstance(pieces, list) and pieces and all(isinstance(each, str) for each in pieces):
        # Older releases end a stream of text with an empty list, which makes a list of it all.
        message = message.model_copy(update={"content": "".join(map(str, pieces))})
    return message


def _read_strictly(total: AIMessageChunk, message: Any) -> Any:
    """Call invalid what is no JSON: in a stream LangChain makes a call that was cut look whole."""
    broken = {c["id"]: c for c in total.tool_call_chunks if not _is_json(c["args"] or "{}")}
    if not broken or message.invalid_tool_calls:
        return message
    valid = [call for call in message.tool_calls if call["id"] not in broken]
    invalid = [{**call, "type": "invalid_tool_call", "error": None} for call in broken.values()]
    return message.model_copy(update={"tool_calls": valid, "invalid_tool_calls": invalid})


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


class Kept(NamedTuple):
    """A chunk taken apart, which is much faster than copying it, and it is on its way."""

    kind: type[Any]
    message_kind: type[Any] | None
    piece: Piece

    def make(self) -> Any:
        """Return the chunk as it was."""
        content, fields, info = self.piece
        if self.message_kind is None:
            return self.kind(text=content, generation_info=info)
        message = self.message_kind.model_construct(content=content, **fields)
        return self.kind(message=message, generation_info=info)


def keep(chunk: ChatGenerationChunk | GenerationChunk) -> Kept:
    """Keep a chunk as it is now; LangChain and the caller may change it."""
    info = copy.deepcopy(chunk.generation_info) if chunk.generation_info else None
    if isinstance(chunk, GenerationChunk):
        return Kept(type(chunk), None, Piece(chunk.text, {}, info))
    message = chunk.message
    fields = {**message.__dict__, **(message.model_extra or {})}
    for name in _CONTAINERS:
        value = fields.get(name)
        if value and not isinstance(value, str):
            fields[name] = copy.deepcopy(value)
    content = fields.pop("content")
    return Kept(type(chunk), type(message), Piece(content, fields, info))


def _calls(message: AIMessage) -> Iterator[tuple[str | None, str | None, str | None]]:
    for call in message.tool_calls:
        yield call["name"], json.dumps(call["args"], ensure_ascii=False), call["id"]
    for invalid in message.invalid_tool_calls:
        yield invalid["name"], invalid["args"], invalid["id"]


def _call_id(block: dict[str, Any]) -> Any:
    return block.get("call_id", block.get("id"))


def _numbered(message: AIMessage) -> Any:
    content = message.content
    if isinstance(content, str) or message.response_metadata.get("output_version") != "v1":
        return content
    return [
        {**block, "index": block.get("index", place)} if isinstance(block, dict) else block
        for place, block in enumerate(content)
    ]


class Parts:
    """The chunks of a stream as they came, whatever becomes of them outside."""

    def __init__(self, model: Any, stream_id: Callable[[], str | None]) -> None:
        self._stream_id = stream_id
        self._numbering = Numbering(model)
        self._chunks: list[Kept] = []
        self._id: str | None = None
        self._fault: Exception | None = None

    def add(self, chunk: Any) -> None:
        """Keep a copy. Never raises: a chunk that cannot be copied still goes to the caller."""
        try:
            self._numbering.write(chunk)
            self._chunks.append(keep(chunk))
        except Exception as error:  # noqa: BLE001  # whatever a provider puts into a chunk
            self._fault = error

    def see_id(self, chunk: Any) -> None:
        """Note the id that LangChain gave a chunk after it was handed over."""
        self._id = self._id or id_of(chunk)

    def answer(self, whole: Callable[[Any], Generation]) -> list[Generation]:
        """Add the chunks up.

        Raises:
            Exception: The chunks cannot be copied or added.
        """
        if self._fault is not None:
            raise self._fault
        if not self._chunks:
            return []
        first, *others = [_as_told(kept.make()) for kept in self._chunks]
        if others and isinstance(first, ChatGeneration):
            return [self._named(whole(first + others))]  # type: ignore[operator]  # all at once is faster
        return [
            self._named(whole(functools.reduce(lambda left, right: left + right, others, first)))
        ]

    def pieces(self) -> list[Piece]:
        """Return the chunks as they are kept beside their answer."""
        return [kept.piece for kept in self._chunks]

    def _named(self, generation: Generation) -> Generation:
        if isinstance(generation, ChatGeneration):
            message = generation.message
            message.id = self._stream_id() or message.id or self._id
        return generation


def _as_told(chunk: Any) -> Any:
    """Lay what a chunk says of its generation into its message, as LangChain does."""
    if isinstance(chunk, ChatGeneration) and chunk.generation_info:
        message = chunk.message
        message.response_metadata = {**chunk.generation_info, **message.response_metadata}
    return chunk
