"""What is shown of runs: facts that every run has, and chosen columns, which alone are read."""

# ruff: noqa: S608 (the pieces are ours, every value is a parameter)

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlmodel import Session

from services.specs.run_fields import Field
from services.store.run_sql import COLUMNS, JOB, PARENT, STEPS, Asking, batches, is_of_job, key_ids, marks

Cell = float | str | bool | int | None
# From here on it is cheaper to read all that has a key than to look for each run.
MANY = 2000


class Facts(NamedTuple):
    """What every run has. Status in our words; texts are empty and times None where nothing is known."""

    run_id: str
    job: str
    name: str
    experiment: str
    status: str
    created: int | None
    started: int | None
    ended: int | None
    user: str
    parent: str


def facts(session: Session, now: int, run_ids: Sequence[str]) -> dict[str, Facts]:
    ask = Asking(session, {}, now)
    asked = ("job", "name", "experiment", "status", "created", "started", "ended", "creator", "parent")
    columns = ", ".join(ask.attribute(name).text for name in asked)
    found: dict[str, Facts] = {}
    for some in batches(run_ids):
        rows = ask.run(f"SELECT r.run_id, {columns} FROM run r{JOB} WHERE r.run_id IN ({marks(some)})", some)
        for run_id, job, name, experiment, status, created, started, ended, user, parent in rows:
            texts = (job or "", name or "", experiment or "", status)
            found[run_id] = Facts(run_id, *texts, created, started, ended, user or "", parent or "")
    return found


def cells(
    session: Session, workspace_id: str, now: int, run_ids: Sequence[str], wanted: Sequence[Field]
) -> dict[Field, dict[str, Cell]]:
    """The values of these fields by run; missing ones are left out. Times are in milliseconds."""
    ask = Asking(session, key_ids(session, wanted), now)
    found: dict[Field, dict[str, Cell]] = {each: {} for each in wanted}
    stored = [each for each in wanted if each.step is None]
    if len(run_ids) > MANY and len(run_ids) * 3 > ask.runs():
        _read_whole(ask, workspace_id, set(run_ids), stored, found)
        return found
    for some in batches(run_ids):
        _read_metrics(ask, some, [each for each in stored if each.kind == "metrics"], found)
        _read_params(ask, some, [each for each in stored if each.kind == "params"], found)
        _read_tags(ask, some, [each for each in stored if each.kind == "tags"], found)
        _read_attributes(ask, some, [each for each in stored if each.kind == "attribute"], found)
    return found


def tags(session: Session, run_ids: Sequence[str], keys: Sequence[str]) -> dict[tuple[str, str], str]:
    """By (run id, key), without those that are to be removed."""
    ask = Asking(session, {}, 0)
    found: dict[tuple[str, str], str] = {}
    for some in batches(run_ids):
        rows = ask.run(
            f"SELECT run_id, key, value FROM {ask.of_runs('tag')} WHERE run_id IN ({marks(some)})"
            f" AND key IN ({marks(keys)}) AND wish <> 'remove'",
            [*some, *keys],
        )
        found |= {(run_id, key): value for run_id, key, value in rows}
    return found


def children(session: Session, workspace_id: str, run_ids: Sequence[str]) -> dict[str, list[str]]:
    """The active runs that are nested in these, oldest first, by the tag that MLflow marks them with."""
    ask = Asking(session, {}, 0)
    found: dict[str, list[str]] = {}
    for some in batches(run_ids):
        rows = ask.run(
            "SELECT t.value, r.run_id FROM tag t CROSS JOIN run r"
            f" WHERE t.key = '{PARENT}' AND substr(t.value, 1, 100) IN ({marks(some)}) AND r.run_id = t.run_id"
            " AND r.workspace_id = ? AND r.lifecycle_stage = 'active' ORDER BY r.start_time, r.run_id",
            [*some, workspace_id],
        )
        for parent, run_id in rows:
            found.setdefault(parent, []).append(run_id)
    return found


def _read_whole(
    ask: Asking,
    workspace_id: str,
    run_ids: set[str],
    wanted: Sequence[Field],
    found: Mapping[Field, dict[str, Cell]],
) -> None:
    """One column at a time, of whoever has it."""
    for each in wanted:
        if each.kind == "attribute":
            rows = ask.run(
                f"SELECT r.run_id, {ask.attribute(each.name).text} FROM run r{JOB if is_of_job(each) else ''}"
                " WHERE r.workspace_id = ?",
                (workspace_id,),
            )
        elif each.kind == "tags":
            rows = ask.run("SELECT run_id, value FROM tag WHERE key = ? AND wish <> 'remove'", (each.name,))
        elif each.name not in ask.keys:
            continue
        else:
            table, column = ("param", "value") if each.kind == "params" else ("metric", COLUMNS[each.aggregate])
            rows = ask.run(f"SELECT run_id, {column} FROM {table} WHERE key_id = {ask.keys[each.name]}")
        values: dict[str, Cell] = {run_id: value for run_id, value in rows if run_id in run_ids}
        if each.type == "flag":
            values = {run_id: bool(value) for run_id, value in values.items()}
        if each.kind == "metrics" and each.aggregate not in STEPS:
            values = {run_id: math.nan if value is None else value for run_id, value in values.items()}
        elif None in values.values():
            values = {run_id: value for run_id, value in values.items() if value is not None}
        found[each].update(values)


def _read_metrics(
    ask: Asking, run_ids: Sequence[str], wanted: Sequence[Field], found: Mapping[Field, dict[str, Cell]]
) -> None:
    """Only the columns that are asked for are read; a number that is NULL in a row is NaN."""
    keyed: dict[int, list[tuple[int, dict[str, Cell], bool]]] = {}
    columns = sorted({COLUMNS[each.aggregate] for each in wanted})
    for each in wanted:
        if each.name in ask.keys:
            place = columns.index(COLUMNS[each.aggregate]) + 2
            keyed.setdefault(ask.keys[each.name], []).append((place, found[each], each.aggregate in STEPS))
    if not keyed:
        return
    text = (
        f"SELECT run_id, key_id, {', '.join(columns)} FROM {ask.of_runs('metric')}"
        f" WHERE run_id IN ({marks(run_ids)}) AND key_id IN ({marks(keyed)})"
    )
    for row in ask.run(text, (*run_ids, *keyed)):
        for place, values, is_step in keyed[row[1]]:
            if row[place] is not None:
                values[row[0]] = row[place]
            elif not is_step:
                values[row[0]] = math.nan


def _read_params(
    ask: Asking, run_ids: Sequence[str], wanted: Sequence[Field], found: Mapping[Field, dict[str, Cell]]
) -> None:
    keyed = {ask.keys[each.name]: found[each] for each in wanted if each.name in ask.keys}
    if not keyed:
        return
    text = (
        f"SELECT run_id, key_id, value FROM {ask.of_runs('param')} WHERE run_id IN ({marks(run_ids)})"
        f" AND key_id IN ({marks(keyed)})"
    )
    for run_id, key, value in ask.run(text, (*run_ids, *keyed)):
        keyed[key][run_id] = value


def _read_tags(
    ask: Asking, run_ids: Sequence[str], wanted: Sequence[Field], found: Mapping[Field, dict[str, Cell]]
) -> None:
    named = {each.name: each for each in wanted}
    if not named:
        return
    text = (
        f"SELECT run_id, key, value FROM {ask.of_runs('tag')} WHERE run_id IN ({marks(run_ids)})"
        f" AND key IN ({marks(named)}) AND wish <> 'remove'"
    )
    for run_id, key, value in ask.run(text, (*run_ids, *named)):
        found[named[key]][run_id] = value


def _read_attributes(
    ask: Asking, run_ids: Sequence[str], wanted: Sequence[Field], found: Mapping[Field, dict[str, Cell]]
) -> None:
    if not wanted:
        return
    columns = ", ".join(ask.attribute(each.name).text for each in wanted)
    text = f"SELECT r.run_id, {columns} FROM run r{JOB} WHERE r.run_id IN ({marks(run_ids)})"
    for run_id, *values in ask.run(text, run_ids):
        for field, value in zip(wanted, values, strict=True):
            if value is not None:
                found[field][run_id] = bool(value) if field.type == "flag" else value
