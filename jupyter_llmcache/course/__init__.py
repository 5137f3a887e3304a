"""The course file: entries out of a cache into one clean file, and back into another cache."""

from .export import export_database, export_lines
from .import_ import Imported, import_file

__all__ = ["Imported", "export_database", "export_lines", "import_file"]
