"""atelier run …"""

import re
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from app.cli import common, printing, run_compare
from app.cli.client import Client, in_workspace, named, part
from services.core.errors import Invalid

app = typer.Typer(help="Runs: what jobs and MLflow's clients have recorded.", no_args_is_help=True)
app.command()(run_compare.compare)
app.command()(run_compare.changes)
COLUMNS = ("id", "name", "status", "experiment", "created", "user")
PAGE = 200
# A comma in parentheses or backticks belongs to a column: at(metrics.loss, 100).
_COLUMN = re.compile(r"(?:[^,(`]|\([^)]*\)|`(?:[^`]|``)*`)+")
Name = Annotated[str, typer.Option("--name", "-n", help="The job's name, or MLflow's run id.")]
Filter = Annotated[str, typer.Option("--filter", help="Such as 'metrics.loss < 0.2 and params.lr = \"0.1\"'.")]
Columns = Annotated[
    list[str] | None, typer.Option("--columns", help="Such as min(metrics.loss),params.lr; may be repeated.")
]
Metrics = Annotated[list[str] | None, typer.Option("--metric", help="A metric's latest value; may be repeated.")]
Experiments = Annotated[
    list[str] | None, typer.Option("--experiment-name", help="Only of this experiment; may be repeated.")
]
OrderBy = Annotated[
    list[str] | None, typer.Option("--order-by", help="A column; '-created' descends; may be repeated.")
]
Search = Annotated[str, typer.Option("--search", help="Part of a name.")]


@app.command("list")
def listed(
    filter: Filter = "",
    columns: Columns = None,
    metric: Metrics = None,
    experiment_name: Experiments = None,
    order_by: OrderBy = None,
    search: Search = "",
    max_results: Annotated[int, typer.Option("--max-results", "-r", help="At most so many; 0 means all.")] = 50,
) -> None:
    """Lists runs, the newest first, with the columns asked for."""
    wanted = _columns(columns, metric)
    asked = _asked(filter, wanted, experiment_name, order_by, search)
    client = Client()
    rows: list[dict[str, Any]] = []
    while True:
        limit = min(PAGE, max_results - len(rows)) if max_results else PAGE
        page = _told(client, "/runs", {**asked, "limit": limit, "offset": len(rows)})
        rows += page["value"]
        if not page["has_more"] or len(rows) == max_results:
            break
    if not common.chosen.is_for_people:
        printing.show(rows)
        return
    columns_ = (*COLUMNS, *(rows[0]["cells"] if rows else ()))
    printing.show([{name: ({**row, **row["cells"]})[name] for name in columns_} for row in rows], columns_)
    if page["has_more"]:
        total = page["total"] if page["is_total_exact"] else f"more than {page['total']}"
        printing.note(f"{len(rows)} of {total} runs; --max-results shows more.")


@app.command()
def show(name: Name) -> None:
    """Shows one run: what it logged, its note, its parent and its children."""
    found = Client().ask("GET", _path(name))
    if not common.chosen.is_for_people:
        printing.show(found)
        return
    plain = {key: value for key, value in found.items() if not isinstance(value, dict | list)}
    printing.show({**plain, "parent": (found["parent"] or {}).get("id"), "children": len(found["children"]) or None})
    for title in ("params", "tags"):
        for key, value in found[title].items():
            print(f"{title}.{key}  {value}")
    for key, each in found["metrics"].items():
        print(f"metrics.{key}  {each['last']}  (step {each['step']}, {each['min']} to {each['max']})")


@app.command()
def export(
    filter: Filter = "",
    columns: Columns = None,
    metric: Metrics = None,
    experiment_name: Experiments = None,
    order_by: OrderBy = None,
    search: Search = "",
    file: Annotated[
        str, typer.Option("--file", "-f", help="Where to, *.csv or *.parquet; CSV on standard output when left out.")
    ] = "",
) -> None:
    """Takes all runs of a list out, as CSV or Parquet."""
    kind = Path(file).suffix.removeprefix(".").lower() if file else "csv"
    if kind not in {"csv", "parquet"}:
        raise Invalid(f"'{file}' is neither *.csv nor *.parquet.", where="--file")
    asked = _asked(filter, _columns(columns, metric), experiment_name, order_by, search)
    query = urlencode({**asked, "format": kind}, doseq=True)
    client, path = Client(), f"{in_workspace('/runs:export')}?{query}"
    try:
        if file:
            client.save(path, Path(file))
            printing.note(f"{Path(file).resolve()}")
        else:
            client.pour(path, sys.stdout.buffer)
    except Invalid as wrong:
        raise _pointed(wrong) from None


@app.command()
def update(
    name: Name,
    tags: Annotated[
        list[str] | None, typer.Option("--tags", "--tag", help="key=value; key= takes it away; may be repeated.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", help="Markdown; an empty one goes.")] = None,
    star: Annotated[bool | None, typer.Option("--star/--no-star", help="Marks it, or no longer.")] = None,
    color: Annotated[str | None, typer.Option("--color", help="#rrggbb; empty for its own again.")] = None,
) -> None:
    """Changes tags, note, star or colour."""
    change: dict[str, Any] = {"note": note, "is_starred": star, "color": color}
    if tags:
        pairs = [each.partition("=") for each in tags]
        if wrong := next((key for key, equals, _ in pairs if not equals), None):
            raise Invalid(f"'{wrong}' is not key=value.", where="--tags")
        change["tags"] = {key: value or None for key, _, value in pairs}
    body = {key: value for key, value in change.items() if value is not None}
    printing.show(Client().ask("PATCH", _path(name), json=body))


def _columns(columns: list[str] | None, metrics: list[str] | None) -> list[str]:
    from services.specs.run_fields import Field

    found = [each.strip() for text in columns or [] for each in _COLUMN.findall(text)]
    return [*found, *(str(Field("metrics", each)) for each in metrics or [])]


def _asked(
    filter: str, columns: list[str], experiments: list[str] | None, order_by: list[str] | None, search: str
) -> dict[str, Any]:
    return {
        "filter": filter,
        "column": columns,
        "experiment": experiments or [],
        "order_by": order_by or [],
        "search": search,
    }


def _told(client: Client, path: str, asked: dict[str, Any]) -> Any:
    try:
        return client.ask("GET", in_workspace(path), params=asked)
    except Invalid as wrong:
        raise _pointed(wrong) from None


def _pointed(wrong: Invalid) -> Invalid:
    """The filter with a caret below the place: what is printed of details follows the first, which is the message."""
    if (wrong.where or "").startswith("filter:"):
        wrong.details = [wrong.message, *wrong.details]
    return wrong


def _path(name: str) -> str:
    return in_workspace(f"/runs/{part(named(name, 'run'))}")
