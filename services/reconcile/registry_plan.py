"""What keeps both model registries equal: decided from what both say, touching nothing. The rules are in `registry`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.engines.tracking import PROMPT, ModelVersion

MARK = "atelier.asset"
OURS = "atelier."
MOST_EMPTY = 100
Words = Mapping[str, str]


@dataclass(frozen=True)
class Mine:
    """A version as the studio has it. `entry` is what was agreed on; `labels` are those that stand on it."""

    id: str
    name: str
    version: str
    words: Words = field(default_factory=dict)
    labels: frozenset[str] = frozenset()
    entry: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        return f"{self.id}:{self.name}:{self.version}"

    @property
    def is_settled(self) -> bool:
        """Whether MLflow has been told, or cannot be."""
        if not self.entry:
            return False
        if self.entry.get("why"):
            return True
        if not self.entry.get("marked") or self.entry.get("agreed") != dict(self.words):
            return False
        return self.entry.get("labels") == sorted(label for label in self.labels if _is_alias(label))


@dataclass(frozen=True)
class Take:
    """Make here what a client has registered."""

    version: ModelVersion
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Give:
    """Make there what was made here."""

    mine: Mine


@dataclass(frozen=True)
class Adopt:
    """It is there already: note it. A crash came in between."""

    mine: Mine
    version: ModelVersion


@dataclass(frozen=True)
class Move:
    """Its number is somebody else's in MLflow."""

    mine: Mine


@dataclass(frozen=True)
class Stay:
    """Ours only, and why."""

    mine: Mine
    why: str


@dataclass(frozen=True)
class Lose:
    """MLflow has it no more."""

    mine: Mine


@dataclass(frozen=True)
class Forget:
    """Delete there what was deleted here."""

    version: ModelVersion


@dataclass(frozen=True)
class Agree:
    """Changes to make on either side; None takes away. `agreed` and `labels` hold once both are made."""

    mine: Mine
    here: Mapping[str, str | None]
    there: Mapping[str, str | None]
    agreed: Words
    labels: tuple[str, ...]
    is_unmarked: bool = False


@dataclass(frozen=True)
class Label:
    """A label to move to a version, or to take away (None); `here`, or else in MLflow."""

    name: str
    label: str
    version: str | None
    here: bool


Action = Take | Give | Adopt | Move | Stay | Lose | Forget | Agree | Label


def plan(mine: Sequence[Mine], theirs: Sequence[ModelVersion], aliases: Words) -> list[Action]:
    """What makes one name equal on both sides."""
    here = {each.version: each for each in mine}
    there = {each.version: each for each in theirs}
    ids = {each.id: each for each in mine}
    actions: list[Action] = []
    for version in theirs:
        actions += _of_theirs(version, here, ids, aliases, there)
    pairs: list[tuple[Mine, ModelVersion]] = []
    for each in sorted(mine, key=lambda one: (len(one.version), one.version)):
        found = there.get(each.version)
        if each.entry.get("version") == each.version and not each.entry.get("why"):
            if found is None:
                actions.append(Lose(each))
            else:
                pairs.append((each, found))
        elif found is not None and found.tags.get(MARK, "").partition(":")[0] == each.id:
            actions.append(Adopt(each, found))
        elif not each.entry or each.entry.get("is_far"):
            actions += _of_mine(each, found, theirs)
    labels = _labels(pairs, aliases)
    actions += labels[0]
    for each, version in pairs:
        actions += _agreement(each, version, tuple(sorted(k for k, v in labels[1].items() if v == each.version)))
    return actions


def _of_theirs(
    version: ModelVersion,
    here: Mapping[str, Mine],
    ids: Mapping[str, Mine],
    aliases: Words,
    there: Mapping[str, ModelVersion],
) -> Iterable[Action]:
    if PROMPT in version.tags:
        return
    marked_id, _, rest = version.tags.get(MARK, "").partition(":")
    marked = ids.get(marked_id)
    if rest == f"{version.name}:{version.version}" and marked is None:
        yield Forget(version)
    elif marked is not None and rest == f"{marked.name}:{marked.version}" and marked.version not in there:
        if marked.version != version.version and not marked.entry:
            yield Forget(version)  # an empty one below ours, which a crash has left
    elif version.version not in here:
        yield Take(version, tuple(alias for alias, number in aliases.items() if number == version.version))


def _of_mine(mine: Mine, found: ModelVersion | None, theirs: Sequence[ModelVersion]) -> Iterable[Action]:
    if not mine.version.isdecimal() or mine.version != str(int(mine.version)) or mine.version == "0":
        yield Stay(mine, f"MLflow numbers versions, and '{mine.version}' is no whole number.")
    elif found is not None:
        yield Move(mine)
    elif int(mine.version) - max((int(each.version) for each in theirs), default=0) > MOST_EMPTY + 1:
        if not mine.entry:
            yield Stay(mine, f"Version {mine.version} is too far ahead of MLflow's numbers.")
    else:
        yield Give(mine)


def _labels(pairs: Sequence[tuple[Mine, ModelVersion]], aliases: Words) -> tuple[list[Action], Words]:
    """Labels of versions that both sides have; others are ours only."""
    numbers = {mine.version for mine, _ in pairs}
    if not pairs:
        return [], {}
    name = pairs[0][0].name
    ours = {label: mine.version for mine, _ in pairs for label in mine.labels if _is_alias(label)}
    base = {label: mine.version for mine, _ in pairs for label in mine.entry.get("labels") or ()}
    known = {alias: version for alias, version in aliases.items() if version in numbers}
    here, there, agreed = merged(base, ours, known)
    actions: list[Action] = [Label(name, label, version, here=True) for label, version in here.items()]
    actions += [Label(name, label, version, here=False) for label, version in there.items()]
    return actions, agreed


def _is_alias(label: str) -> bool:
    """MLflow keeps `v3` for version 3."""
    return not (label[:1] in {"v", "V"} and label[1:].isdecimal())


def _agreement(mine: Mine, version: ModelVersion, labels: tuple[str, ...]) -> Iterable[Agree]:
    base = mine.entry.get("agreed") or {}
    here, there, agreed = merged(base, mine.words, words_of(version))
    is_unmarked = version.tags.get(MARK) != mine.mark
    if here or there or is_unmarked or dict(base) != agreed or sorted(mine.entry.get("labels") or ()) != list(labels):
        yield Agree(mine, here, there, agreed, labels, is_unmarked)


def merged(base: Words, ours: Words, theirs: Words) -> tuple[dict[str, str | None], dict[str, str | None], Words]:
    """Changes for here, changes for there, and what both have then; where both changed, MLflow's holds."""
    here: dict[str, str | None] = {}
    there: dict[str, str | None] = {}
    agreed: dict[str, str] = {}
    for key in sorted({*base, *ours, *theirs}):
        was, mine, told = base.get(key), ours.get(key), theirs.get(key)
        value = mine if told == was else told
        if value != mine:
            here[key] = value
        if value != told:
            there[key] = value
        if value is not None:
            agreed[key] = value
    return here, there, agreed


def words_of(version: ModelVersion) -> dict[str, str]:
    """What may change of a version, by key; empty words are as none."""
    return _words(version.description, version.stage, version.tags)


def _words(description: str, stage: str, tags: Words) -> dict[str, str]:
    words = {f"tags.{key}": value for key, value in tags.items() if not key.startswith(OURS)}
    return words | {key: value for key, value in (("description", description), ("stage", stage)) if value}
