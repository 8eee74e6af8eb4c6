"""A job's metrics as charts that grow, and what its container used."""

import streamlit as st

from app import context
from app.ui import charts, parts
from app.ui.text import markdown
from services import metrics
from services.core.states import TERMINAL
from services.store.rows import Job

POINTS = 1000
CONFIG = {"displayModeBar": False, "responsive": True}
MACHINE = "system/"
UNITS = {"percent": "%", "mb": " MB", "bytes": " B"}


def recorded(job: Job) -> metrics.Recorded:
    with context.scope() as s:
        return metrics.summary(s, job.name)


def show(job: Job) -> None:
    over = job.status in TERMINAL and job.collected_at is not None
    names = [each.key for each in recorded(job).metrics if not each.key.startswith(MACHINE)]
    if not names:
        parts.empty(
            "monitoring",
            "No metrics yet",
            "Whatever the job logs with MLflow is drawn here while it runs.",
            cli='mlflow.log_metric("loss", loss, step=epoch)',
        )
        return
    left, right = st.columns([1, 5], gap="medium")
    with left:
        x = (
            st.segmented_control("X axis", ["Step", "Time"], default="Step", key="m_x", label_visibility="collapsed")
            or "Step"
        )
        smoothing = st.slider("Smoothing", 0.0, 0.99, 0.0, 0.01, key="m_smoothing")
        chosen = [name for place, name in enumerate(names) if st.checkbox(markdown(name), place < 12, key=f"m:{name}")]
    with right:
        _drawn(job.name, chosen, x.lower(), smoothing, live=not over)


def monitoring(job: Job) -> None:
    """Processor, memory, network and disk of the container over time."""
    over = job.status in TERMINAL
    names = [each.key for each in recorded(job).metrics if each.key.startswith(MACHINE)]
    if not names:
        parts.empty(
            "memory",
            "Nothing was sampled",
            "Processor, memory, network and disk of running containers are sampled every few seconds.",
        )
        return
    _drawn(job.name, names, "time", 0.0, live=not over)


def _drawn(job: str, keys: list[str], x: str, smoothing: float, *, live: bool) -> None:
    """Two charts a row; while the job runs they are asked for again every few seconds."""

    @st.fragment(run_every=3 if live else None)
    def part() -> None:
        with context.scope() as s:
            found = metrics.history(s, job, keys, max_points=POINTS)
        with st.grid(2, gap="small", border=True):
            for each in found:
                series = charts.Series(each.key, (each.time if x == "time" else each.step).astype(float), each.value)
                figure = charts.lines([series], title=each.key, x=x, smoothing=smoothing)
                st.plotly_chart(figure, config=CONFIG, key=f"chart:{each.key}")

    part()
