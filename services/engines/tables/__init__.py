"""Data as people look at it: a preview of the first rows, a profile of every column, what two versions differ in.

preview(source, path, *, rows=50) -> Preview
profile(source, *, paths=None, columns=None, sample=None, progress=None, scratch=None) -> Profile
diff(old, new, *, scratch=None, profiles=None) -> Diff
mltable_table(source, spec) -> MLTableView, with .preview(rows=50) and .profile(...)
"""

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
]
