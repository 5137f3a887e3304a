"""The drawing: an untrusted answer is worth looking at, and safe to look at."""

from ..numbers import format_age, format_bytes, format_count, format_seconds
from ..text import visible
from .answer import Answer, CacheStatus, CellSummary, PromptPreview
from .line import annotation_text
from .stream import StreamDisplay
from .table import Table

__all__ = [
    "Answer",
    "CacheStatus",
    "CellSummary",
    "PromptPreview",
    "StreamDisplay",
    "Table",
    "annotation_text",
    "format_age",
    "format_bytes",
    "format_count",
    "format_seconds",
    "visible",
]
