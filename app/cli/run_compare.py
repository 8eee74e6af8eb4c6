"""atelier run compare and atelier run changes: runs beside each other, and what happened since it last went well."""

from typing import Annotated, Any

import typer

from app.cli import common, printing
from app.cli.client import Client, in_workspace, named, part

MOST_COLUMNS = 12
Name = Annotated[str, typer.Option("--name", "-n", help="The job's name, or MLflow's run id.")]
Names = Annotated[list[str], typer.Option("--name", "-n", help="A job's name or a run id; two times or more.")]
Aggregate = Annotated[str, typer.Option("--aggregate", help="last, min, max or first value of a metric.")]


def compare(
    name: Names,
    baseline: Annotated[str, typer.Option("--baseline", help="Whose values the others' are held against.")] = "",
    aggregate: Aggregate = "last",
    differences_only: Annotated[bool, typer.Option("--differences-only", help="Leaves out what is the same.")] = False,
    search: Annotated[str, typer.Option("--search", help="Part of the metrics', parameters' and tags' names.")] = "",
    section: Annotated[
        list[str] | None,
        typer.Option(
            "--section", help="Of two runs also: code, environment, data, host, files, logs; may be repeated."
        ),
    ] = None,
) -> None:
    """Compares runs: metrics with their distance to the baseline, parameters, tags, and whatever else two differ in."""
    asked = {
        "run": name,
        "baseline": baseline,
        "aggregate": aggregate,
        "differences_only": differences_only,
        "search": search,
        "section": section or [],
    }
    found = Client().ask("GET", in_workspace("/runs:compare"), params=asked)
    if not common.chosen.is_for_people:
        printing.show(found)
        return
    runs = found["runs"][:MOST_COLUMNS]
    heads = [
        {"run": place, **{key: run[key] for key in ("id", "label", "status")}} for place, run in enumerate(runs, 1)
    ]
    printing.show(heads, ("run", "id", "label", "status"))
    lines = [*_metrics(found, len(runs)), *_texts(found, "params", len(runs)), *_texts(found, "tags", len(runs))]
    if lines:
        print()
        printing.show(lines, ("what", "name", *(str(place) for place in range(1, len(runs) + 1))))
    else:
        printing.note("Nothing differs." if differences_only else "There is nothing to compare.")
    for each in found["sections"]:
        _section(each)
    if len(found["runs"]) > len(runs):
        printing.note(f"The first {len(runs)} of {len(found['runs'])} runs; -o json has all of them.")
    if found["missing"]:
        printing.note(f"Not here, or no more: {', '.join(found['missing'])}.")


def changes(
    name: Name,
    metric: Annotated[str, typer.Option("--metric", help="A good run was not worse in this one.")] = "",
    aggregate: Aggregate = "last",
) -> None:
    """Shows what changed since the last good run of the experiment, the likeliest cause first."""
    asked = {"metric": metric, "aggregate": aggregate}
    found = Client().ask("GET", in_workspace(f"/runs/{part(named(name, 'run'))}/changes"), params=asked)
    if not common.chosen.is_for_people:
        printing.show(found)
        return
    if found["changes"]:
        lines = [{**each, "likely": f"{each['weight']:.0%}"} for each in found["changes"]]
        printing.show(lines, ("likely", "sentence", "evidence"))
    for note in found["notes"]:
        printing.note(note)


def _metrics(found: Any, many: int) -> list[dict[str, Any]]:
    return [
        {
            "what": "metric",
            "name": row["key"],
            **{str(place): _number(cell) for place, cell in enumerate(row["cells"][:many], 1)},
        }
        for row in found["metrics"]
    ]


def _number(cell: Any) -> str:
    if cell["value"] is None:
        return "NaN" if cell["is_nan"] else ""
    share = f" ({cell['relative']:+.1%})" if cell["relative"] else ""
    return f"{cell['value']:.6g}{share}{' *' if cell['is_best'] else ''}"


def _texts(found: Any, kind: str, many: int) -> list[dict[str, Any]]:
    return [
        {
            "what": kind.removesuffix("s"),
            "name": row["key"],
            **{str(place): value for place, value in enumerate(row["values"][:many], 1)},
        }
        for row in found[kind]
    ]


def _section(section: Any) -> None:
    """Things by name as lines; files with their lines as a patch has them."""
    signs = {"same": " ", "added": "+", "removed": "-", "hunk": ""}
    lines = [{"what": each["title"], **line} for each in section["parts"] for line in each["lines"] if line["differs"]]
    print(f"\n{section['name'].capitalize()}: {section['before']} → {section['after']}")
    if lines:
        printing.show(lines, ("what", "name", "before", "after"))
    for each in section["parts"]:
        for file in each["files"]:
            print(f"{file['word']}: {file['path']}{'  ' + file['note'] if file['note'] else ''}")
            for line in file["lines"]:
                print(f"{signs[line['kind']]}{line['text']}")
        for line in each["text"]:
            print(f"{signs[line['kind']]}{line['text']}")
        for note in each["notes"]:
            printing.note(note)
