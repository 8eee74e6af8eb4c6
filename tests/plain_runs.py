"""Runs as plain values, filters evaluated on them one by one, and both made at random: what SQL must agree with."""

import math
import operator
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlmodel import Session

from services.core.states import JobStatus
from services.core.times import since_epoch
from services.specs.filters import Ago, And, Compare, Expression, In, IsNull, Not, Or, Value, operators
from services.specs.run_fields import ATTRIBUTES, Field
from services.store import metrics as store
from services.store.metrics import Run, Summary, Tag
from services.store.rows import Experiment, Job

NOW = 1_800_000_000_000
DAY = 86_400_000
TEXTS = (
    "vision", "Vision", "VISION x", "a%b", "a_b", "a*b", "a[b]", "axb", "a?b", "ümlaut", "Ümlaut", "", "0.1", "0.10",
    "1e-1", "nan", "inf", "-3", "10", "9", "\\", "a\\b", "a\nb", "it's", 'say "so"', "日本", "z" * 150, "z" * 150 + "!",
)  # fmt: skip
NUMBERS = (0.0, -0.0, 1.0, 0.1, -2.5, 3.0, 10.0, 1e-9, 1e300, math.inf, -math.inf, math.nan)
METRICS, PARAMS, TAGS = ("loss", "val/acc", "my metric"), ("lr", "opt"), ("team", "é`x")
WORDS = {"SCHEDULED": "Queued", "RUNNING": "Running", "FINISHED": "Completed", "FAILED": "Failed", "KILLED": "Canceled"}
_COMPARED: dict[str, Callable[[object, object], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass
class Plain:
    """A run of which everything is known; attributes are missing where there is no such key."""

    id: str
    attributes: dict[str, float | str | bool] = field(default_factory=dict)
    metrics: dict[str, Summary] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def value(self, asked: Field) -> float | str | bool | None:
        if asked.kind == "attribute":
            return self.attributes.get(asked.name)
        if asked.kind != "metrics":
            return (self.params if asked.kind == "params" else self.tags).get(asked.name)
        known = self.metrics.get(asked.name)
        if known is None:
            return None
        if asked.aggregate == "count":
            return known.n
        found = getattr(known, asked.aggregate)
        return math.nan if found is None and not asked.aggregate.endswith("_step") else found


def holds(run: Plain, expression: Expression) -> bool:
    """Read from the first page of the language's description, nothing else."""
    match expression:
        case And(parts):
            return all(holds(run, part) for part in parts)
        case Or(parts):
            return any(holds(run, part) for part in parts)
        case Not(part):
            return not holds(run, part)
        case IsNull(asked, negated):
            return (run.value(asked) is None) is not negated
        case In(asked, values, negated):
            value = run.value(asked)
            if value is None or value != value:
                return False
            return any(compared(value, "=", each) for each in values) is not negated
        case Compare(asked, op, wanted):
            value = run.value(asked)
            return value is not None and value == value and compared(value, op, wanted)


def compared(value: float | str | bool, op: str, wanted: Value) -> bool:
    if isinstance(wanted, Ago):
        wanted = NOW - wanted.seconds * 1000
    elif isinstance(wanted, datetime):
        wanted = (wanted - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if op in {"like", "ilike", "~"}:
        assert isinstance(value, str)
        assert isinstance(wanted, str)
        if op == "~":
            return lowered(wanted) in lowered(value)
        if op == "ilike":
            value, wanted = lowered(value), lowered(wanted)
        return re.fullmatch(as_regex(wanted), value, re.DOTALL) is not None
    if isinstance(value, str) and not isinstance(wanted, str):
        number = store.number(value)
        return op == "!=" if number is None else _COMPARED[op](number, wanted)
    return _COMPARED[op](value, wanted)


def lowered(text: str) -> str:
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)


def as_regex(pattern: str) -> str:
    found = re.findall(r"\\.|\\$|.", pattern, re.DOTALL)
    return "".join({"%": ".*", "_": "."}.get(each, re.escape(each[-1])) for each in found)


def in_order(runs: Sequence[Plain], order_by: Sequence[tuple[Field, bool]]) -> list[str]:
    """Ids: by each field, numbers before NaN (or texts) before what is missing; then the newest, then by id."""
    found = sorted(runs, key=lambda run: run.id)
    found.sort(key=lambda run: -run.attributes.get("created", -math.inf))
    for asked, descending in reversed(order_by):
        classes: tuple[list[Plain], ...] = ([], [], [])
        for run in found:
            classes[_class(asked, run.value(asked))].append(run)
        for some in classes[:2]:
            some.sort(key=lambda run: _sorted_as(asked, run.value(asked)), reverse=descending)
        found = [run for some in classes for run in some]
    return [run.id for run in found]


def _class(asked: Field, value: float | str | bool | None) -> int:
    if value is None:
        return 2
    if asked.kind == "params":
        return 0 if store.number(str(value)) is not None else 1
    return 0 if value == value else 1


def _sorted_as(asked: Field, value: float | str | bool | None) -> tuple[float, str]:
    if isinstance(value, str):
        return (store.number(value) or 0.0 if asked.kind == "params" else 0.0, value)
    return (0.0 if value is None or value != value else value, "")


class Dice:
    """Chooses runs and expressions; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def field(self) -> Field:
        kind = self.random.choice(("metrics", "metrics", "params", "tags", "attribute", "attribute"))
        if kind == "attribute":
            return Field("attribute", self.random.choice(list(ATTRIBUTES)))
        if kind != "metrics":
            return Field(kind, self.random.choice((*(PARAMS if kind == "params" else TAGS), "never logged")))  # type: ignore[arg-type]
        aggregate = self.random.choice(("last", "last", "min", "max", "first", "count", "min_step", "max_step"))
        return Field("metrics", self.random.choice((*METRICS, "never logged")), aggregate)

    def order(self, most: int) -> tuple[tuple[Field, bool], ...]:
        return tuple({self.field(): self.random.random() < 0.5 for _ in range(self.random.randint(0, most))}.items())

    def expression(self, depth: int = 3) -> Expression:
        chosen = self.random.random()
        if depth == 0 or chosen < 0.35:
            return self.leaf()
        if chosen < 0.5:
            return Not(self.expression(depth - 1))
        parts = tuple(self.expression(depth - 1) for _ in range(self.random.randint(2, 3)))
        return And(parts) if chosen < 0.75 else Or(parts)

    def leaf(self) -> Compare | In | IsNull:
        asked = self.field()
        op = self.random.choice(operators(asked))
        if op.endswith("null"):
            return IsNull(asked, op == "is not null")
        if op.endswith("in"):
            return In(asked, tuple(self.literal(asked, op) for _ in range(self.random.randint(1, 3))), op == "not in")
        return Compare(asked, op, self.literal(asked, op))  # type: ignore[arg-type]

    def literal(self, asked: Field, op: str) -> Value:
        if asked == Field("attribute", "status"):
            return self.random.choice(list(JobStatus)).value
        if asked.type == "flag":
            return self.random.random() < 0.5
        if asked.type == "time":
            ago = Ago(self.random.randint(0, 30), self.random.choice("wdhms"))
            at = since_epoch(NOW - self.random.randint(0, 30) * DAY)
            assert at is not None
            return self.random.choice((ago, at, at.replace(microsecond=5000)))
        texts = op in {"~", "like", "ilike"} or asked.kind != "params" or self.random.random() < 0.5
        if asked.type == "number" or not texts:
            return self.random.choice([*(each for each in NUMBERS if each == each), float(self.random.randint(0, 5))])
        if op in {"like", "ilike"}:
            return self.random.choice(TEXTS)[:3].replace("i", "_") + self.random.choice(("", "%", "\\%", "_", "%o%"))
        return self.random.choice((*TEXTS, "iris", "ada", "r1", "run"))

    def runs(self, session: Session, workspace_id: str, count: int, *, prefix: str = "r") -> list[Plain]:
        """Writes so many into the database: outside of jobs, of jobs, and nested in a job's; with ties and gaps."""
        experiments = [
            Experiment(workspace_id=workspace_id, name=name, mlflow_id=f"{prefix}{name}") for name in ("iris", "wine")
        ]
        session.add_all(experiments)
        found = [
            self._run(session, workspace_id, f"{prefix}{place:031d}", self.random.choice(experiments))
            for place in range(count)
        ]
        session.flush()
        return found

    def _run(self, session: Session, workspace_id: str, run_id: str, experiment: Experiment) -> Plain:
        choice = self.random.choice
        job = self._job(session, workspace_id, run_id, experiment) if self.random.random() < 0.5 else None
        is_own = job is not None and job.run_id == run_id
        start, end = (choice((None, NOW - self.random.randint(0, 9) * DAY)) for _ in range(2))
        run = Run(
            run_id=run_id,
            workspace_id=workspace_id,
            experiment_id=experiment.mlflow_id or "",
            job_id=job.id if job else None,
            parent_run_id=choice((None, "r" + "0" * 31)),
            name=choice(("", *TEXTS[:4])),
            status=choice(list(WORDS)),
            start_time=start,
            end_time=end,
            user=choice(("", "ada", "ben")),
        )
        store.save_run(session, run)
        made = Plain(run_id, _attributes(run, experiment.name, job if is_own else None))
        self._log(session, made)
        return made

    def _job(self, session: Session, workspace_id: str, run_id: str, experiment: Experiment) -> Job:
        choice = self.random.choice
        started, finished = (
            choice((None, since_epoch(NOW - self.random.randint(0, 9 * DAY // 60_000) * 60_000 + 7))) for _ in range(2)
        )
        job = Job(
            workspace_id=workspace_id,
            name=f"job-{run_id[-3:]}",
            display_name=choice(("", "Shown")),
            experiment_id=experiment.id,
            experiment_name=experiment.name,
            status=choice(list(JobStatus)),
            compute=choice(("", "local")),
            source=choice(("", "cli")),
            created_by=choice(("ada", "ben")),
            run_id=choice((run_id, None, "of another run")),
            started_at=started,
            finished_at=finished,
            deleted_at=choice((None, None, None, since_epoch(NOW))),
        )
        session.add(job)
        session.flush()
        return job

    def _log(self, session: Session, run: Plain) -> None:
        keys = store.ensure_keys(session, [*METRICS, *PARAMS])
        for name in self.random.sample(METRICS, self.random.randint(0, 3)):
            run.metrics[name] = Summary(run.id, keys[name])
            for step in range(self.random.randint(1, 3)):
                run.metrics[name].add(self.random.choice(NUMBERS), NOW, step)
        store.fold(session, run.metrics.values())
        run.params = {name: self.random.choice(TEXTS) for name in self.random.sample(PARAMS, self.random.randint(0, 2))}
        store.save_params(session, [(run.id, keys[name], value) for name, value in run.params.items()])
        names = (*TAGS, "atelier.starred", "mlflow.source.name")
        for name in self.random.sample(names, self.random.randint(0, 4)):
            value = self.random.choice(("true", "false")) if name == "atelier.starred" else self.random.choice(TEXTS)
            wish = self.random.choice(("", "set", "remove"))
            session.add(Tag(run_id=run.id, key=name, value=value, wish=wish))
            if wish != "remove":
                run.tags[name] = value
        run.attributes["starred"] = run.tags.get("atelier.starred") == "true"
        if "source" not in run.attributes and run.tags.get("mlflow.source.name"):
            run.attributes["source"] = run.tags["mlflow.source.name"]


def _attributes(run: Run, experiment: str, job: Job | None) -> dict[str, float | str | bool]:
    if job is not None and job.deleted_at is not None:
        job = None
    started = _milliseconds(job.started_at) if job else run.start_time
    ended = _milliseconds(job.finished_at) if job else run.end_time
    is_over = job is None and run.status in {"FINISHED", "FAILED", "KILLED"}
    until = ended if ended is not None or is_over else NOW
    found = {
        "id": run.run_id,
        "name": (job.display_name or job.name) if job else run.name,
        "job": job.name if job else None,
        "experiment": experiment,
        "status": job.status.value if job else WORDS[run.status],
        "created": run.start_time,
        "started": started,
        "ended": ended,
        "duration": max(0, until - started) / 1000 if until is not None and started is not None else None,
        "creator": job.created_by if job else run.user,
        "compute": job.compute if job else None,
        "source": job.source if job else None,
        "parent": run.parent_run_id,
    }
    return {name: value for name, value in found.items() if value is not None and value != ""}


def _milliseconds(at: datetime | None) -> int | None:
    return None if at is None else (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
