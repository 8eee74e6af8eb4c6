"""Metrics of one run as the tiles of a dashboard, drawn on while it runs, and what its machine was busy with."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

from app import context
from app.ui import address, board, parts
from services import run_files, runs, views
from services.core.errors import AtelierError, NotFound
from services.metrics import MONITORING, MetricSummary, thinned
from services.specs.run_fields import Field
from services.specs.tiles import MOST_TILES, Board, Line, Resource, Scalar, Section

MACHINE = "system/"
# What `services.tiles` draws, and how MLflow's own names for it begin.
RESOURCES = {"cpu": "cpu_", "memory": "system_memory_", "gpu": "gpu_", "disk": "disk_", "network": "network_"}
OPEN_SECTIONS = 6
MOST_SECTIONS = 100
LOOK_SECONDS = 3


def show(name: str, metrics: Sequence[MetricSummary], *, live: bool, version: str) -> None:
    """A tile a metric, by the beginnings of their names; what is changed is kept in the address."""
    own = [each for each in metrics if not each.key.startswith(MACHINE)]
    if not own:
        parts.empty(
            "monitoring",
            "No metrics yet" if live else "No metrics",
            "Whatever the run logs with MLflow is drawn here while it runs.",
            cli='mlflow.log_metric("loss", loss, step=epoch)',
        )
        return
    if is_thinned(name):
        parts.banner(
            "gray",
            "This run was archived: of long histories 2,000 points are left here, extremes among them. MLflow has all.",
            f"atelier metrics rebuild --run {name}",
        )
    changed = board.show(
        _kept() or of_metrics(own),
        [name],
        key=f"board:{name}",
        can_edit=True,
        version=version,
        live=live,
        metrics=[each.key for each in metrics],
        fields=[str(Field("metrics", each.key)) for each in metrics],
    )
    if changed.board is not None:
        _keep(changed.board)
        st.rerun()


def machine(name: str, metrics: Sequence[MetricSummary], *, live: bool, version: str) -> None:
    """Processor, memory, disk and network from the first second, and what the run logged of its machine."""
    logged = [each for each in metrics if each.key.startswith(MACHINE)]
    tiles = _resources({each.key.removeprefix(MACHINE) for each in logged}, is_sampled=_is_sampled(name))
    sections = [Section(title="Resources", tiles=tiles)] if tiles else []
    if logged:
        shown = list(_tiles(logged, x="relative"))[: MOST_TILES - len(RESOURCES)]
        sections.append(Section(title="Logged by the run", tiles=shown, collapsed=bool(tiles)))
    if not sections:
        parts.empty(
            "memory",
            "Nothing was sampled yet" if live else "Nothing was sampled",
            "What containers use is sampled every few seconds; a script can log what its machine uses.",
            cli="mlflow.enable_system_metrics_logging()",
        )
        return
    board.show(
        Board(sections=sections),
        [name],
        key=f"machine:{name}",
        can_edit=False,
        version=version,
        live=live,
        reason="These charts are always the same.",
    )


def is_thinned(name: str) -> bool:
    with context.scope() as s:
        return bool(thinned(s, [name]))


def has_machine(metrics: Sequence[MetricSummary]) -> bool:
    return any(each.key.startswith(MACHINE) for each in metrics)


@st.fragment(run_every=LOOK_SECONDS)
def watch(name: str, seen: int) -> None:
    """Runs the page again when the run has logged another metric: tiles that are there draw themselves."""
    with context.scope() as s:
        if runs.resolve(s, [name]) and len(runs.get(s, name).metrics) != seen:
            st.rerun()


def of_metrics(metrics: Sequence[MetricSummary]) -> Board:
    """One section for each beginning of their names; a metric with one value is a number, not a chart."""
    groups: dict[str, list[MetricSummary]] = {}
    for each in metrics[:MOST_TILES]:
        groups.setdefault(each.key.rpartition("/")[0], []).append(each)
    ordered = sorted(groups)[:MOST_SECTIONS]
    return Board(
        sections=[
            Section(
                title=(title or "Metrics")[:200], tiles=list(_tiles(groups[title])), collapsed=place >= OPEN_SECTIONS
            )
            for place, title in enumerate(ordered)
        ]
    )


def _tiles(metrics: Iterable[MetricSummary], *, x: str = "step") -> Iterable[Any]:
    for each in sorted(metrics, key=lambda one: (one.count > 1, one.key)):
        kept = {"id": _id(each.key), "title": each.key[:200]}
        if each.count == 1:
            yield Scalar.model_validate({**kept, "value": str(Field("metrics", each.key))})
        else:
            yield Line.model_validate({**kept, "metrics": [each.key], "x": x})


def _id(key: str) -> str:
    """The same whatever else is logged, so that a tile keeps its zoom."""
    return f"m{hashlib.blake2b(key.encode(), digest_size=6).hexdigest()}"


def _resources(logged: set[str], *, is_sampled: bool) -> list[Any]:
    """Containers have no say about GPUs; MLflow asks them in the process."""
    return [
        Resource.model_validate({"id": word, "name": word})
        for word, beginning in RESOURCES.items()
        if (is_sampled and word != "gpu") or any(each.startswith(beginning) for each in logged)
    ]


def _is_sampled(name: str) -> bool:
    try:
        with context.scope() as s:
            file, _ = run_files.opened(s, name, MONITORING)
    except NotFound:
        return False
    file.close()
    return True


def _kept() -> Board | None:
    """What the address names; an old link may name what is not there any more."""
    if not (id_ := address.text("board")):
        return None
    try:
        with context.scope() as s:
            return views.get_board(s, id_)
    except AtelierError as error:
        context.show(error)
        return None


def _keep(changed: dict[str, Any]) -> None:
    with context.scope(write=True) as s:
        id_ = views.put_board(s, changed)
    address.put(board=id_)
