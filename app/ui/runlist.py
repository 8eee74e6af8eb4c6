"""An experiment's runs: a table with metrics and parameters as columns, and the ticked ones drawn together."""

from collections.abc import Sequence

import streamlit as st

from app import context
from app.ui import address, charts, parts, table
from app.ui.job_metrics import CONFIG, POINTS
from app.ui.text import markdown, plain, tag
from services import metrics
from services.core.times import since_epoch
from services.metrics import RunRow

KEY = "runs"
MOST = 20
X = {"step": "Step", "time": "Time", "seconds": "Since start"}
STATUS = {
    "SCHEDULED": "Queued",
    "RUNNING": "Running",
    "FINISHED": "Completed",
    "FAILED": "Failed",
    "KILLED": "Canceled",
}


def id_of(run: RunRow) -> str:
    """A job's name, or the run's id where no job made it."""
    return run.job or run.run_id


def ticked(here: Sequence[str]) -> list[str]:
    """The ticked ones among those that are shown, in the order of ticking; the address keeps them."""
    held = st.session_state.get(f"{KEY}:0")
    found = held.get("picked") if held else None
    if found is not None and found != address.words(KEY):
        address.put(runs=",".join(found))
    return [each for each in (found if found is not None else address.words(KEY)) if each in here]


def color(place: int) -> str:
    return charts.PALETTE[place % len(charts.PALETTE)]


def show(
    runs: Sequence[RunRow],
    keys: Sequence[str],
    params: Sequence[str],
    picked: Sequence[str],
    *,
    order: str,
    pager: table.Pager,
) -> None:
    columns = [
        table.Column("Run", "link"),
        table.Column("Status", "status"),
        table.Column("Started", "time"),
        table.Column("Duration", "duration"),
        table.Column("By"),
        *(table.Column(key, "num", key) for key in keys),
        *(table.Column(key, "code") for key in params),
    ]
    rows = [_row(run, keys, params, picked) for run in runs]
    table.show(KEY, columns, rows, label="Runs", order=order, selectable=True, picked=picked, pager=pager)


def drawing() -> None:
    """How the charts are drawn: along what, and how smooth."""
    st.segmented_control(
        "X axis",
        list(X),
        format_func=X.__getitem__,
        default="step",
        key="r_x",
        label_visibility="collapsed",
        required=True,
    )
    with st.popover("Smoothing", icon=":material/tune:"):
        st.slider("Smoothing", 0.0, 0.99, 0.0, 0.01, key="r_smoothing", width=240)


def compared(runs: Sequence[RunRow], keys: Sequence[str], picked: Sequence[str]) -> None:
    """One chart a metric, one line a ticked run, in the colour of its dot; then the parameters that differ."""
    if not runs:
        st.html(tag("div", "Tick runs to draw them together.", cls="at-none"))
        return
    names = {id_of(run): run.name or id_of(run) for run in runs}
    x = st.session_state.get("r_x") or "step"
    drawn = [each for each in picked if each in names][:MOST]
    with context.scope() as s:
        found = {key: metrics.compare(s, drawn, key, max_points=POINTS) for key in keys}
    with st.grid(2, gap="small", border=True):
        for key, lines in found.items():
            series = [
                charts.Series(names[each], _along(line, x), line.value, color(drawn.index(each)))
                for each, line in lines.items()
            ]
            if series:
                smoothing = st.session_state.get("r_smoothing", 0.0)
                figure = charts.lines(series, title=key, x=x, smoothing=smoothing, height=280)
                st.plotly_chart(figure, config=CONFIG, key=f"compare:{key}")
    if len(picked) > MOST:
        st.caption(markdown(f"The first {MOST} ticked runs are drawn."))
    _differences([run for run in runs if id_of(run) in drawn])


def _along(line: metrics.Line, x: str) -> charts.Array:
    if x == "step":
        return line.step.astype(float)
    if x == "time":
        return line.time.astype(float)
    passed: charts.Array = (line.time - line.time[0]).astype(float) / 1000
    return passed


def _differences(runs: Sequence[RunRow]) -> None:
    names = list(dict.fromkeys(key for run in runs for key in run.params))
    differing = [key for key in names if len({run.params.get(key) for run in runs}) > 1]
    if len(runs) > 1 and differing:
        heads = ("Parameter", *(plain(run.name or id_of(run), 60) for run in runs))
        lines = [(key, *(plain(run.params.get(key, "–"), 200) for run in runs)) for key in differing]
        st.html(parts.panel("Parameters that differ", parts.rows(heads, lines)))


def _row(run: RunRow, keys: Sequence[str], params: Sequence[str], picked: Sequence[str]) -> table.Row:
    href = context.link("job", job=run.job) if run.job else ""
    started, ended = since_epoch(run.start_time), since_epoch(run.end_time)
    name = table.link(run.name or id_of(run), href, "" if run.job else "no job")
    if (mine := id_of(run)) in picked:
        name["color"] = color(list(picked).index(mine))
    cells = [
        name,
        table.status(STATUS.get(run.status, run.status)),
        table.time(started),
        table.lasting(started, ended, live=run.status == "RUNNING"),
        run.user,
        *(_number(run.metrics.get(key)) for key in keys),
        *(run.params.get(key, "") for key in params),
    ]
    return table.Row(mine, cells, href)


def _number(value: float | None) -> float | str | None:
    """JSON has no word for what is not finite."""
    return value if value is None or value - value == 0 else str(value)
