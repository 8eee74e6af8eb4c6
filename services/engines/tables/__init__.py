"""Data as people look at it: a preview of the first rows, a profile of every column, what two versions differ in."""

from services.engines.tables.questions import preview, profile
from services.engines.tables.shapes import (
    BinaryPreview,
    Cell,
    Column,
    ColumnProfile,
    Diff,
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
    "preview",
    "profile",
]
