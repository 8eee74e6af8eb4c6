"""A YAML file that somebody names on the command line; - is standard input."""

import sys
from pathlib import Path

from app.cli import printing
from services.core.errors import Invalid
from services.specs.source import Source, load, load_file


def source(file: str) -> tuple[Source, Path]:
    """What it says, and the folder that its paths are relative to. Raises Invalid."""
    if not file:
        raise Invalid("A file has a name.", where="--file")
    if file != "-":
        return load_file(Path(file)), Path(file).parent
    if sys.stdin.isatty():
        printing.note("Write the YAML; Ctrl-D ends it.")
    return load(sys.stdin.buffer.read(), file="<stdin>"), Path.cwd()
