"""What two versions of data differ in: files, columns, rows, and how the columns' values have moved."""

from pathlib import Path

from services.core.errors import Invalid
from services.engines.tables.questions import PROFILE_SECONDS, profile
from services.engines.tables.shapes import (
    Column,
    ColumnProfile,
    Diff,
    Drift,
    FileChange,
    Part,
    Profile,
    Retyped,
    Source,
)

COMPARED = 1 << 20


def diff(
    old: Source,
    new: Source,
    *,
    profiles: tuple[Profile, Profile] | None = None,
    scratch: Path | None = None,
    seconds: float = PROFILE_SECONDS,
) -> Diff:
    """From the old one to the new one. `profiles` are taken where they are known already; each side has `seconds`.

    Files are the same when path, size and hash are; where a hash is not known, small ones are compared byte by byte.
    Sides that are no tables are compared as files alone.
    """
    files = _files(old, new)
    if profiles is None:
        found = _profile(old, scratch, seconds), _profile(new, scratch, seconds)
        failed = [
            f"The {side} version: {one}"
            for side, one in zip(("old", "new"), found, strict=True)
            if isinstance(one, str)
        ]
        if isinstance(found[0], str) or isinstance(found[1], str):
            said = (
                "Rows and columns are not compared." if len(failed) < 2 else "Neither version is a table that is read."
            )
            return Diff(*files, notes=(said, *failed))
        profiles = found[0], found[1]
    return _with_tables(files, *profiles)


def _profile(source: Source, scratch: Path | None, seconds: float) -> Profile | str:
    try:
        return profile(source, scratch=scratch, seconds=seconds)
    except Invalid as cause:
        return str(cause)


def _files(old: Source, new: Source) -> tuple[tuple[str, ...], tuple[str, ...], tuple[FileChange, ...], int]:
    """Added, removed, changed, and how many are the same."""
    before = {part.path: part for part in old.parts}
    after = {part.path: part for part in new.parts}
    both = sorted(before.keys() & after.keys())
    changed = tuple(
        FileChange(path, before[path].size, after[path].size)
        for path in both
        if not _is_same(old, before[path], new, after[path])
    )
    added, removed = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    return tuple(added), tuple(removed), changed, len(both) - len(changed)


def _is_same(old: Source, one: Part, new: Source, other: Part) -> bool:
    """A file whose hash is not known and that is larger than COMPARED counts as changed only when its size is."""
    if one.size != other.size:
        return False
    if one.hash and other.hash:
        return one.hash == other.hash
    if one.size > COMPARED:
        return True
    with old.open(one.path) as first, new.open(other.path) as second:
        return first.read(COMPARED) == second.read(COMPARED)


def _with_tables(
    files: tuple[tuple[str, ...], tuple[str, ...], tuple[FileChange, ...], int], old: Profile, new: Profile
) -> Diff:
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    both = [name for name in after if name in before]
    return Diff(
        *files,
        is_tabular=True,
        columns_added=tuple(Column(name, after[name].type) for name in after if name not in before),
        columns_removed=tuple(Column(name, before[name].type) for name in before if name not in after),
        columns_retyped=tuple(
            Retyped(name, before[name].type, after[name].type) for name in both if before[name].type != after[name].type
        ),
        old_rows=old.total_rows,
        new_rows=new.total_rows,
        drift=tuple(_drift(before[name], after[name]) for name in both),
        notes=tuple(_sampled("old", old) + _sampled("new", new)),
    )


def _drift(old: ColumnProfile, new: ColumnProfile) -> Drift:
    return Drift(new.name, old.mean, new.mean, _share(old), _share(new), old.distinct, new.distinct)


def _share(column: ColumnProfile) -> float:
    return column.missing / column.count if column.count else 0.0


def _sampled(side: str, found: Profile) -> list[str]:
    if not found.sampled:
        return []
    return [f"Of the {side} version a sample of {found.rows:,} rows was looked at."]
