"""Two folders of files, compared by content: what came, what went, what is another now, and in which lines."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Literal

from services.core.errors import Invalid, NotFound
from services.engines import files

Digest = str
Kind = Literal["same", "added", "removed", "hunk"]
PIECE = 1 << 20
MOST_BYTES = 512 << 10
MOST_COMPARED = 3000


@dataclass(frozen=True)
class Line:
    """One line of a unified difference; numbers count from 1, None where that side has no such line."""

    kind: Kind
    text: str
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class FileChange:
    """One path that differs. `lines` are there where both sides are text of a sane size, else `note` says why not.

    Sizes are in bytes, None where a side has no such file; digests are empty where they were not made.
    """

    path: str
    before: Digest
    after: Digest
    before_size: int | None
    after_size: int | None
    lines: tuple[Line, ...] = ()
    note: str = ""

    @property
    def word(self) -> str:
        return "added" if self.before_size is None else "removed" if self.after_size is None else "changed"

    @property
    def added(self) -> int:
        return sum(line.kind == "added" for line in self.lines)

    @property
    def removed(self) -> int:
        return sum(line.kind == "removed" for line in self.lines)


def changed(before: Path | None, after: Path | None) -> dict[str, tuple[Digest, Digest]]:
    """Of each path that differs the SHA-256 on both sides, empty where there is no such file; None is no folder."""
    old, new = _sizes(before), _sizes(after)
    found = {}
    for path in sorted(old.keys() | new.keys()):
        one, other = _digest(before, path, old), _digest(after, path, new)
        if one != other:
            found[path] = (one, other)
    return found


def unified(
    before: Path | None, after: Path | None, *, most_files: int = 200, most_lines: int = 4000
) -> list[FileChange]:
    """What differs between two folders, line by line as long as `most_lines` last; files beyond are only named."""
    old, new, left, found = _sizes(before), _sizes(after), most_lines, []
    for path, (one, other) in list(changed(before, after).items())[:most_files]:
        lines, note = _of_files((before, after), path, (old, new), left)
        left -= len(lines)
        found.append(FileChange(path, one, other, old.get(path), new.get(path), tuple(lines), note))
    return found


def of_texts(before: Sequence[str], after: Sequence[str], *, context: int = 3) -> list[Line]:
    """The unified difference of two texts, as lines without their ends; empty when they are the same.

    Raises Invalid when so much differs that comparing it would take long.
    """
    head = next(
        (at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    if head == len(before) == len(after):
        return []
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    start, end = max(0, head - context), max(0, tail - context)
    one, other = before[start : len(before) - end], after[start : len(after) - end]
    if max(len(one), len(other)) > MOST_COMPARED:
        raise Invalid(f"More than {MOST_COMPARED} lines differ.")
    found = []
    for group in SequenceMatcher(None, one, other, autojunk=True).get_grouped_opcodes(context):
        found.append(_hunk(group, start))
        for word, a, a_end, b, b_end in group:
            found += _lines(word, one[a:a_end], other[b:b_end], start + a, start + b)
    return found


def _hunk(group: Sequence[tuple[str, int, int, int, int]], start: int) -> Line:
    first, last = group[0], group[-1]
    before, after = last[2] - first[1], last[4] - first[3]
    return Line("hunk", f"@@ -{start + first[1] + bool(before)},{before} +{start + first[3] + bool(after)},{after} @@")


def _lines(word: str, before: Sequence[str], after: Sequence[str], a: int, b: int) -> list[Line]:
    if word == "equal":
        return [Line("same", text, a + at, b + at) for at, text in enumerate(before, 1)]
    gone = [Line("removed", text, a + at, None) for at, text in enumerate(before, 1)]
    return gone + [Line("added", text, None, b + at) for at, text in enumerate(after, 1)]


def _of_files(
    folders: tuple[Path | None, Path | None], path: str, sizes: tuple[dict[str, int], dict[str, int]], left: int
) -> tuple[list[Line], str]:
    if max(known.get(path, 0) for known in sizes) > MOST_BYTES:
        return [], f"Too large to compare line by line (more than {MOST_BYTES >> 10} kB)."
    raw = [_read(folder, path) if path in known else b"" for folder, known in zip(folders, sizes, strict=True)]
    if any(b"\0" in each for each in raw):
        return [], "Binary: compared by content only."
    texts = [each.decode("utf-8", "replace").splitlines() for each in raw]
    try:
        lines = of_texts(*texts)
    except Invalid as cause:
        return [], cause.message
    if len(lines) > left:
        return [], "Left out: what is shown above is long enough."
    return lines, "" if lines else "Only line ends differ."


def _read(folder: Path | None, path: str) -> bytes:
    if folder is None:
        return b""
    try:
        with files.open_inside(folder, path) as file:
            return file.read(MOST_BYTES + 1)
    except NotFound:
        return b""


def _sizes(folder: Path | None) -> dict[str, int]:
    return {} if folder is None else {file.path: file.size for file in files.walk(folder)}


def _digest(folder: Path | None, path: str, known: dict[str, int]) -> Digest:
    if folder is None or path not in known:
        return ""
    digest = hashlib.sha256()
    try:
        with files.open_inside(folder, path) as file:
            while piece := file.read(PIECE):
                digest.update(piece)
    except NotFound:  # removed while we looked
        return ""
    return digest.hexdigest()
