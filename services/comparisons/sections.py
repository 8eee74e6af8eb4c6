"""What two runs differ in, section by section: from what they were given to what they left behind."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services import access, logs, run_files
from services.comparisons import facts
from services.comparisons.sides import Side, side
from services.core.errors import AtelierError, Invalid, NotFound
from services.engines import differences
from services.engines.differences import FileChange, Line
from services.studio import Scope

SECTIONS = ("params", "tags", "code", "environment", "data", "host", "files", "logs")
LOG_LINES = 400
LOGS = ("user_logs/", "system_logs/", "logs/")
MOST_FILES = 500
HASHED_BYTES = 256 << 20
PIECE = 1 << 20
_ELSEWHERE = "Not known of a run that no job of the studio made."


@dataclass(frozen=True)
class Difference:
    """One thing on both sides, empty where there is none of the name."""

    name: str
    before: str
    after: str

    @property
    def differs(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class Part:
    """Some of a section: things by name, files, or one text against another. `notes` say what is not known."""

    title: str
    lines: list[Difference] = field(default_factory=list)
    files: list[FileChange] = field(default_factory=list)
    text: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How much differs."""
        return sum(line.differs for line in self.lines) + len(self.files) + (1 if self.text else 0)

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "lines": [{**vars(line), "differs": line.differs} for line in self.lines],
            "files": [
                {**vars(each), "lines": [vars(line) for line in each.lines], "word": each.word} for each in self.files
            ],
            "text": [vars(line) for line in self.text],
            "notes": self.notes,
        }


@dataclass(frozen=True)
class Section:
    """From `before`, the baseline, to `after`."""

    name: str
    before: str
    after: str
    parts: list[Part]

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "parts": [part.as_json() for part in self.parts],
        }


def diff(scope: Scope, baseline: str, other: str, section: str) -> Section:
    """One section of what two runs differ in, what is the same included. Raises NotFound, Invalid."""
    access.require(scope, "experiments/runs/read")
    if section not in SECTIONS:
        raise Invalid(f"'{section[:80]}' is no section.", where="section", hint=f"One of: {', '.join(SECTIONS)}.")
    before, after = side(scope, baseline), side(scope, other)
    made = {
        "params": lambda: [_part("Parameters", facts.params(scope, before), facts.params(scope, after))],
        "tags": lambda: [_part("Tags", facts.tags(scope, before), facts.tags(scope, after))],
        "code": lambda: _code(scope, before, after),
        "environment": lambda: _environment(scope, before, after),
        "data": lambda: [_data(scope, before, after)],
        "host": lambda: _host(scope, before, after),
        "files": lambda: [_files(scope, before, after)],
        "logs": lambda: [_logs(scope, before, after)],
    }
    return Section(section, before.name, after.name, made[section]())


def changed_files(scope: Scope, before: Side, after: Side) -> list[FileChange]:
    """Of the code that both ran."""
    access.require(scope, "experiments/runs/read")
    one, other = _snapshot(scope, before), _snapshot(scope, after)
    return [] if one == other else differences.unified(one, other)


def _part(title: str, before: Mapping[str, str], after: Mapping[str, str], *notes: str) -> Part:
    names = dict.fromkeys([*before, *after])
    return Part(
        title,
        [Difference(name, before.get(name, ""), after.get(name, "")) for name in names],
        notes=[note for note in notes if note],
    )


def _code(scope: Scope, before: Side, after: Side) -> list[Part]:
    about = _part("How it was run", facts.code(scope, before), facts.code(scope, after))
    changes = changed_files(scope, before, after)
    changes += _uncommitted(facts.tags(scope, before), facts.tags(scope, after))
    return [about, Part("Files", files=changes, notes=_without_code(scope, before, after))]


def _without_code(scope: Scope, before: Side, after: Side) -> list[str]:
    without = [each.name for each in (before, after) if _snapshot(scope, each) is None]
    return [f"No code was kept of {' and '.join(without)}."] if without else []


def _uncommitted(before: Mapping[str, str], after: Mapping[str, str]) -> list[FileChange]:
    """What MLflow recorded of changes that were not committed: itself a difference, compared as text."""
    texts = [known.get("mlflow.git.diff", "") for known in (before, after)]
    if texts[0] == texts[1]:
        return []
    sizes = [len(text.encode()) or None for text in texts]
    digests = [hashlib.sha256(text.encode()).hexdigest() if text else "" for text in texts]
    lines, note = _compared(texts[0].splitlines(), texts[1].splitlines())
    return [FileChange("Uncommitted changes", digests[0], digests[1], sizes[0], sizes[1], tuple(lines), note)]


def _environment(scope: Scope, before: Side, after: Side) -> list[Part]:
    about = _part("Environment", facts.environment(scope, before), facts.environment(scope, after))
    return [about, _packages(scope, before, after), *_variables(before, after)]


def _packages(scope: Scope, before: Side, after: Side) -> Part:
    """Nothing is said where those of one are not known: then all would seem to have come or gone."""
    one, other = facts.packages(scope, before), facts.packages(scope, after)
    unknown = [each.name for each, found in ((before, one), (after, other)) if not found]
    if unknown:
        return Part("Packages", notes=[f"What was installed is not known of {' and '.join(unknown)}."])
    return _part("Packages", one, other)


def _variables(before: Side, after: Side) -> list[Part]:
    if before.job is None or after.job is None:
        return []
    return [_part("Variables", *facts.variables(before.job, after.job))]


def _data(scope: Scope, before: Side, after: Side) -> Part:
    from_elsewhere = _ELSEWHERE if before.job is None or after.job is None else ""
    return _part(
        "Inputs", facts.data(scope, before, closely=True), facts.data(scope, after, closely=True), from_elsewhere
    )


def _host(scope: Scope, before: Side, after: Side) -> list[Part]:
    return [
        _part("Host", facts.host(scope, before), facts.host(scope, after)),
        _measured(facts.measured(scope, before), facts.measured(scope, after)),
    ]


def _measured(before: Mapping[str, str], after: Mapping[str, str]) -> Part:
    return _part("Measured", before, after, "" if before or after else "Nothing was measured of the two.")


def _files(scope: Scope, before: Side, after: Side) -> Part:
    sizes = [_sizes(scope, each) for each in (before, after)]
    left, same, found, notes = HASHED_BYTES, 0, [], ["Logs have a tab of their own."]
    for path in sorted(sizes[0].keys() | sizes[1].keys()):
        one, other = sizes[0].get(path), sizes[1].get(path)
        digests, note = ("", ""), ""
        if one is not None and one == other:
            if one > left:
                note = "Of one size; too large to be compared by content."
            else:
                left -= one
                digests = (_digest(scope, before, path), _digest(scope, after, path))
                if digests[0] == digests[1]:
                    same += 1
                    continue
        found.append(FileChange(path, *digests, one, other, note=note))
    if len(found) > MOST_FILES:
        notes.append(f"{len(found) - MOST_FILES} more files differ.")
    notes.append(f"{same} {'file is' if same == 1 else 'files are'} the same on both sides.")
    return Part("Files", files=found[:MOST_FILES], notes=notes)


def _sizes(scope: Scope, each: Side) -> dict[str, int]:
    listed = run_files.listing(scope, each.name) if each.name else []
    return {file.path: file.size for file in listed if not file.path.startswith(LOGS)}


def _digest(scope: Scope, each: Side, path: str) -> str:
    digest = hashlib.sha256()
    try:
        file, _ = run_files.opened(scope, each.name, path)
    except (NotFound, Invalid):  # removed while we looked
        return ""
    with file:
        for piece in _pieces(file):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(file: Any) -> Iterable[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _logs(scope: Scope, before: Side, after: Side) -> Part:
    lines = [_tail(scope, each) for each in (before, after)]
    without = [each.name for each, found in zip((before, after), lines, strict=True) if not found]
    text, note = _compared(*lines)
    notes = [f"The last {LOG_LINES} lines of each.", note, f"No log of {' and '.join(without)}." if without else ""]
    return Part("Standard log", text=text, notes=[each for each in notes if each])


def _tail(scope: Scope, each: Side) -> list[str]:
    if each.job is None or not each.is_own:
        return []
    try:
        return logs.tail(scope, each.job.name, lines=LOG_LINES)
    except AtelierError:  # the file is what somebody's job made of it
        return []


def _compared(before: list[str], after: list[str]) -> tuple[list[Line], str]:
    try:
        return differences.of_texts(before, after), ""
    except Invalid as cause:
        return [], cause.message


def _snapshot(scope: Scope, each: Side) -> Path | None:
    job = each.job
    if job is None or not job.snapshot_id:
        return None
    return scope.studio.folders.snapshot(job.workspace_id, job.snapshot_id)
