"""Resources: what the machine was busy with, as its container was sampled, or as MLflow measured it in the process."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sqlmodel import col, select

from services import metrics
from services.runs import RunLine
from services.specs.tiles import Resource
from services.store import downsampling
from services.store.metrics import Key, Metric
from services.studio import Scope
from services.tiles.lines import points, since
from services.tiles.readings import Curve, Curves, Nothing
from services.tiles.smoothing import drawable

Values = npt.NDArray[np.float64]
MOST_RUNS = 50
# What a sample of a container says of each, and how it is called where there is more than one.
SAMPLED: Mapping[str, Mapping[str, str]] = {
    "cpu": {"cpu_percent": ""},
    "memory": {"memory_mb": ""},
    "gpu": {},
    "disk": {"disk_read_kb_s": "read", "disk_write_kb_s": "written"},
    "network": {"network_in_kb_s": "received", "network_out_kb_s": "sent"},
}
# MLflow's own names, whole or as expressions, with ours; a counter of megabytes becomes kilobytes a second.
LOGGED: Mapping[str, Mapping[str, str]] = {
    "cpu": {"system/cpu_utilization_percentage": ""},
    "memory": {"system/system_memory_usage_megabytes": ""},
    "gpu": {r"system/gpu_(\d+)_utilization_percentage": "GPU"},
    "disk": {"system/disk_usage_megabytes": "in use (MB)"},
    "network": {"system/network_receive_megabytes": "received", "system/network_transmit_megabytes": "sent"},
}
UNITS = {"cpu": "% of a core", "memory": "MB", "gpu": "%", "disk": "kB/s", "network": "kB/s"}
HINT = {
    "gpu": "MLflow measures GPUs in the process: mlflow.enable_system_metrics_logging() before the run starts.",
}
ANY = "Containers of jobs are sampled; elsewhere mlflow.enable_system_metrics_logging() measures."


def curves(scope: Scope, tile: Resource, runs: Sequence[RunLine]) -> Curves | Nothing:
    """Over seconds since each run began."""
    shown = runs[:MOST_RUNS]
    sampled = {run.run_id: list(_sampled(scope, tile.name, run)) for run in shown}
    logged = _logged(scope, tile.name, [run for run in shown if not sampled[run.run_id]])
    lines = [line for run in shown for line in sampled[run.run_id] or logged.get(run.run_id, [])]
    if not lines:
        return Nothing(f"Nothing was measured. {HINT.get(tile.name, ANY)}")
    notes = [f"The first {MOST_RUNS} runs are drawn."] if len(runs) > MOST_RUNS else []
    most = points(len(lines))
    return Curves([_few(line, most) for line in lines], "relative", UNITS[tile.name], notes=notes)


def _sampled(scope: Scope, name: str, run: RunLine) -> Iterator[Curve]:
    """Of the container, where a job made the run."""
    if not run.job or not SAMPLED[name]:
        return
    found = {line.key: line for line in metrics.monitoring(scope, run.job)}
    for key, called in SAMPLED[name].items():
        if key in found:
            yield _curve(run, key, called, found[key].time.astype(np.float64), found[key].value)


def _logged(scope: Scope, name: str, runs: Sequence[RunLine]) -> dict[str, list[Curve]]:
    """Of the process, for runs that no container of ours held."""
    found: dict[str, list[Curve]] = {}
    for key, (number, called) in _keys(scope, name, runs).items():
        drawn = scope.studio.history.chart(number, [run.run_id for run in runs])
        for run in runs:
            series = drawn[run.run_id]
            if len(series):
                time, value = series.time.astype(np.float64), series.value
                value = _rate(time, value) if name == "network" else value
                found.setdefault(run.run_id, []).append(_curve(run, key, called, time, value))
    return found


def _keys(scope: Scope, name: str, runs: Sequence[RunLine]) -> dict[str, tuple[int, str]]:
    """Which of MLflow's names these runs used, by number, and how they are called here."""
    mine = (col(Metric.run_id).in_([run.run_id for run in runs]), col(Key.name).startswith("system/"))
    used = select(Key.name, Key.key_id).join(Metric, col(Metric.key_id) == Key.key_id).where(*mine).distinct()
    found: dict[str, tuple[int, str]] = {}
    for key, number in scope.session.exec(used.order_by(Key.name)) if runs else ():
        for expression, called in LOGGED[name].items():
            if number is not None and (match := re.fullmatch(expression, key)) is not None:
                found[key] = number, f"{called} {match[1]}" if match.groups() else called
    return found


def _curve(run: RunLine, key: str, called: str, time: Values, value: Values) -> Curve:
    name = f"{run.name} · {called}" if called else run.name
    return Curve(name, key, run.color, since(time, run), drawable(value), run.id)


def _rate(time: Values, value: Values) -> Values:
    passed = np.maximum(np.diff(time, prepend=time[0]) / 1000, 1e-3)
    return np.asarray(np.maximum(np.diff(value, prepend=value[0]), 0) * 1000 / passed)


def _few(line: Curve, most: int) -> Curve:
    kept = downsampling.kept(line.y, most)
    return Curve(line.name, line.metric, line.color, line.x[kept], line.y[kept], line.run)
