"""The course file: entries out of a cache into one clean file, and back into another cache."""

from .export import export_database
from .import_ import Imported, import_file
from .lines import export_lines

__all__ = ["Imported", "export_database", "export_lines", "import_file"]
