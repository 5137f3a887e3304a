"""LangChain's own SQLite cache files: reading them in place, writing them for LangChain."""

from .interop_export import Exported, export_langchain
from .interop_rows import decode_langchain_row
from .langchain_rows import find_rows, langchain_strings, row_counts

__all__ = [
    "Exported",
    "decode_langchain_row",
    "export_langchain",
    "find_rows",
    "langchain_strings",
    "row_counts",
]
