"""A job's metrics as charts that grow, and what its container used."""

from collections.abc import Sequence

import streamlit as st

from app import context
from app.ui import charts, parts
from app.ui.text import markdown
from services import metrics
from services.core.states import TERMINAL
from services.store.rows import Job

POINTS = 1000
SHOWN_AT_FIRST = 12
CONFIG = {"displayModeBar": False, "responsive": True}
MACHINE = "system/"
# One chart each: title, unit, and the series drawn in it.
SAMPLED = (
    ("Processor (of one core)", "%", {"cpu_percent": "processor"}),
    ("Memory", " MB", {"memory_mb": "memory"}),
    ("Network", " kB/s", {"network_in_kb_s": "received", "network_out_kb_s": "sent"}),
    ("Disk", " kB/s", {"disk_read_kb_s": "read", "disk_write_kb_s": "written"}),
)


def recorded(job: Job) -> metrics.Recorded:
    with context.scope() as s:
        return metrics.summary(s, job.name)


def show(job: Job) -> None:
    names = [each.key for each in recorded(job).metrics if not each.key.startswith(MACHINE)]
    live = _is_live(job)
    if not names:
        if live:
            _look_again(job.name)
        parts.empty(
            "monitoring",
            "No metrics yet" if live else "No metrics",
            "Whatever the job logs with MLflow is drawn here while it runs.",
            cli='mlflow.log_metric("loss", loss, step=epoch)',
        )
        return
    left, right = st.columns([2, 9], gap="medium")
    with left:
        x = st.segmented_control("X axis", ["Step", "Time"], default="Step", key="m_x", required=True)
        many = st.segmented_control("Charts", ["Each", "All in one"], default="Each", key="m_many", required=True)
        smoothing = st.slider("Smoothing", 0.0, 0.99, 0.0, 0.01, key="m_smoothing")
        chosen = [
            name
            for place, name in enumerate(names)
            if st.checkbox(markdown(name), place < SHOWN_AT_FIRST, key=f"m:{name}")
        ]
    with right:
        _drawn(job.name, chosen, x.lower(), smoothing, together=many == "All in one", live=live)


def monitoring(job: Job) -> None:
    """Processor, memory, network and disk of the container over time; drawn again while it runs."""
    live = _is_live(job)

    @st.fragment(run_every=5 if live else None)
    def part() -> None:
        with context.scope() as s:
            found = {line.key: line for line in metrics.monitoring(s, job.name)}
            own = [each.key for each in metrics.summary(s, job.name).metrics if each.key.startswith(MACHINE)]
            logged = metrics.history(s, job.name, own, max_points=POINTS)
        if not found and not logged:
            parts.empty(
                "memory",
                "Nothing was sampled yet" if live else "Nothing was sampled",
                "Processor, memory, network and disk of running containers are sampled every few seconds.",
                cli="mlflow.enable_system_metrics_logging()  # for GPUs and more",
            )
            return
        with st.grid(2, gap="small", border=True):
            for title, unit, lines in SAMPLED:
                series = [_series(found[key], "time", name) for key, name in lines.items() if key in found]
                if series:
                    st.plotly_chart(charts.areas(series, title=title, unit=unit), config=CONFIG, key=f"sampled:{title}")
            for line in logged:
                figure = charts.areas([_series(line, "time")], title=line.key.removeprefix(MACHINE))
                st.plotly_chart(figure, config=CONFIG, key=f"chart:{line.key}")

    part()


@st.fragment(run_every=3)
def _look_again(name: str) -> None:
    """Runs the page again once the first metric is there."""
    with context.scope() as s:
        if any(not each.key.startswith(MACHINE) for each in metrics.summary(s, name).metrics):
            st.rerun()


def _is_live(job: Job) -> bool:
    return job.status not in TERMINAL or job.collected_at is None


def _series(line: metrics.Line, x: str, name: str = "") -> charts.Series:
    return charts.Series(name or line.key, (line.time if x == "time" else line.step).astype(float), line.value)


def _drawn(job: str, keys: Sequence[str], x: str, smoothing: float, *, together: bool, live: bool) -> None:
    """Two charts a row, or all in one; while the job runs they are asked for again every few seconds."""

    @st.fragment(run_every=3 if live else None)
    def part() -> None:
        with context.scope() as s:
            found = metrics.history(s, job, list(keys), max_points=POINTS)
        series = [_series(line, x) for line in found]
        if together and series:
            with st.container(border=True):
                figure = charts.lines(series, x=x, smoothing=smoothing, height=480)
                st.plotly_chart(figure, config=CONFIG, key="chart")
            return
        with st.grid(2, gap="small", border=True):
            for each in series:
                figure = charts.lines([each], title=each.name, x=x, smoothing=smoothing)
                st.plotly_chart(figure, config=CONFIG, key=f"chart:{each.name}")

    part()
