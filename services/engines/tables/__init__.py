"""Data as people look at it: a preview of the first rows, a profile of every column, what two versions differ in.

Tables that an MLTable file describes are in `mltables`. What parses files is imported by the reader's process alone.
"""

from services.engines.tables.diffs import diff
from services.engines.tables.questions import preview, profile
from services.engines.tables.shapes import (
    BinaryPreview,
    Cell,
    Column,
    ColumnProfile,
    Diff,
    Drift,
    FileChange,
    ImagePreview,
    NotebookCell,
    NotebookPreview,
    Part,
    PdfPreview,
    Preview,
    Profile,
    Source,
    TablePreview,
    TextPreview,
)

__all__ = [
    "BinaryPreview",
    "Cell",
    "Column",
    "ColumnProfile",
    "Diff",
    "Drift",
    "FileChange",
    "ImagePreview",
    "NotebookCell",
    "NotebookPreview",
    "Part",
    "PdfPreview",
    "Preview",
    "Profile",
    "Source",
    "TablePreview",
    "TextPreview",
    "diff",
    "preview",
    "profile",
]
