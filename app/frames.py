"""For notebooks: the studio's runs and their histories as pandas frames.

    from app import frames

    runs = frames.runs("iris", "metrics.loss < 0.2", ["metrics.loss", "params.lr"])
    points = frames.histories(runs, ["loss"])

The studio, its workspace and the token are found as the command line finds them: ATELIER_ENDPOINT, ATELIER_TOKEN and
ATELIER_WORKSPACE, or the studio that runs on this machine.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from app.cli import common
from app.cli.client import Client, part
from services.core.errors import Invalid
from services.specs.run_fields import field

if TYPE_CHECKING:
    import pandas as pd

PAGE = 1000
TEXTS = ("id", "run_id", "job", "name", "experiment", "status", "user")
TIMES = ("created", "started", "ended")
_TYPES = {"text": "string", "number": "float64", "time": "datetime64[ns, UTC]", "flag": "boolean"}


def runs(
    experiment: str | Sequence[str] | None = None,
    filter: str = "",
    columns: Sequence[str] = (),
    *,
    search: str = "",
    order_by: Sequence[str] = (),
    workspace: str | None = None,
) -> "pd.DataFrame":
    """One row a run, the newest first, with what every run has and the columns asked for.

    A column is called as it is asked for: "metrics.loss", "min(metrics.loss)", "params.lr". Metrics are numbers,
    parameters and tags text, times aware. Raises the studio's errors, such as Invalid for a filter.
    """
    import pandas as pd

    experiments = [experiment] if isinstance(experiment, str) else list(experiment or [])
    canonical = [str(field(each)) for each in columns]
    asked: dict[str, Any] = {"filter": filter, "search": search, "experiment": experiments, "column": canonical}
    asked |= {"order_by": list(order_by), "limit": PAGE}
    client, path = Client(), _path("/runs", workspace)
    rows: list[dict[str, Any]] = []
    while True:
        page = client.ask("GET", path, params={**asked, "offset": len(rows)})
        rows += page["value"]
        if not page["has_more"]:
            break
    known = {name: pd.Series([row[name] for row in rows], dtype="string") for name in TEXTS}
    known |= {name: pd.to_datetime(pd.Series([row[name] for row in rows], dtype="object"), utc=True) for name in TIMES}
    for name, text in zip(columns, canonical, strict=True):
        known[name] = _typed([row["cells"].get(text) for row in rows], field(text).type)
    return pd.DataFrame(known)


def histories(
    runs: "pd.DataFrame | Sequence[str]",
    metrics: str | Sequence[str],
    max_points: int | None = None,
    *,
    workspace: str | None = None,
) -> "pd.DataFrame":
    """One row a point: run, metric, step, time, value; `runs` are names, or a frame with a column `id`.

    With `max_points` a long series is thinned to so many points, its extremes kept. A run that never logged a metric
    has no rows.
    """
    import pandas as pd

    names = [str(each) for each in (runs["id"] if isinstance(runs, pd.DataFrame) else runs)]
    wanted = [metrics] if isinstance(metrics, str) else list(metrics)
    if not wanted:
        raise Invalid("Which metrics?", where="metrics")
    asked: dict[str, Any] = {"metric": wanted, **({"max_points": max_points} if max_points is not None else {})}
    client = Client()
    found = [
        _points(name, each)
        for name in names
        for each in client.ask("GET", _path(f"/runs/{part(name)}/history", workspace), params=asked)["value"]
    ]
    return pd.concat(
        found or [_points("", {"metric": "", "step": [], "timestamp": [], "value": []})], ignore_index=True
    )


def _path(path: str, workspace: str | None) -> str:
    return f"/workspaces/{part(workspace or common.workspace())}{path}"


def _points(run: str, told: dict[str, Any]) -> "pd.DataFrame":
    import pandas as pd

    step = pd.Series(told["step"], dtype="int64")
    return pd.DataFrame(
        {
            "run": pd.Series([run] * len(step), dtype="string"),
            "metric": pd.Series([told["metric"]] * len(step), dtype="string"),
            "step": step,
            "time": pd.to_datetime(pd.Series(told["timestamp"], dtype="int64"), unit="ms", utc=True),
            "value": _typed(told["value"], "number"),
        }
    )


def _typed(values: Sequence[Any], type: str) -> "pd.Series[Any]":
    """JSON's words for what is no number are numbers again; what is missing is NaN, NaT or <NA>."""
    import pandas as pd

    if type == "time":
        return pd.to_datetime(pd.Series(values, dtype="object"), utc=True)
    if type == "number":
        values = [float("nan") if value is None else float(value) for value in values]
    return pd.Series(values, dtype=_TYPES[type])
