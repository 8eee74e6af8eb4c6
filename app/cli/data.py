"""atelier data …"""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import assets, common, completion, printing
from app.cli.client import Client, in_workspace
from services.core.errors import EngineError, Invalid

app = typer.Typer(help="Data assets: named versions of files, folders and tables.", no_args_is_help=True)
COLUMNS = ("name", "version", "type", "path", "description", "creation_context.created_at")
PROFILE_COLUMNS = ("name", "type", "count", "missing", "distinct", "minimum", "maximum", "mean", "standard_deviation")
POLL_SECONDS = 0.3
NOUN = "data asset"
Name = Annotated[
    str, typer.Option("--name", "-n", help="Name of the data asset.", autocompletion=completion.of("data"))
]
Anew = Annotated[bool, typer.Option("--anew", help="Make it again, whatever is kept.")]


@app.command()
def create(
    file: Annotated[str, typer.Option("--file", "-f", help="The data asset's YAML file; - reads standard input.")] = "",
    name: Name = "",
    version: assets.NewVersion = "",
    type: Annotated[str, typer.Option("--type", "-t", help="uri_file, uri_folder or mltable.")] = "",
    path: Annotated[str, typer.Option("--path", "-p", help="A local file or folder, which is sent, or a URI.")] = "",
    description: Annotated[str, typer.Option("--description", "-d", help="What it is.")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="field.field=value; changes what the file says.")
    ] = None,
) -> None:
    """Creates a version; local files are sent, a URI is kept as it is and never checked."""
    from app.cli import reading, upload
    from services.specs import local, overrides, source
    from services.specs.data import DataAsset
    from services.specs.problems import checked

    if not file and not path:
        raise Invalid("A data asset needs a --file, or a --name and a --path.")
    written, base = reading.source(file) if file else (source.load("{}"), Path.cwd())
    if path and not local.is_uri(path):
        path = str(Path(path).absolute())
    given = {"name": name, "version": version, "type": type, "path": path, "description": description}
    value = overrides.apply(dict(written.value), set_ or []) | {key: each for key, each in given.items() if each}
    spec = checked(DataAsset, value, written)
    if not spec.name:
        raise Invalid("A data asset needs a name.", where=written.where(("name",)) if file else "--name")
    client = Client()
    body: dict[str, Any] = {"spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True)}
    if not local.is_uri(spec.path):
        where = written.where(("path",)) if file and not path else "--path"
        here = _of_type(local.existing(spec.path, base, where), spec.path, spec.type, where)
        body["upload"] = upload.send(client, here, "data", what=spec.name).id
    printing.show(client.ask("POST", in_workspace("/data"), json=body))


assets.shared(app, NOUN, "data", COLUMNS)


@app.command()
def download(
    name: Name,
    version: assets.Version = "",
    label: assets.Label = "",
    download_path: assets.Target = Path(),
) -> None:
    """Downloads its files to DIR/NAME."""
    client = Client()
    at, target = assets.settled(client, "data", name, version, label, noun=NOUN), download_path / name
    count = assets.downloaded(client, f"{at}/files", target)
    printing.note(f"{assets.files(count)} in {target.resolve()}")


@app.command()
def preview(
    name: Name,
    version: assets.Version = "",
    label: assets.Label = "",
    path: Annotated[str, typer.Option("--path", "-p", help="A file of it; else the one that says most.")] = "",
    rows: Annotated[int, typer.Option("--rows", min=1, max=1000, help="At most so many rows.")] = 10,
) -> None:
    """Shows the first rows or lines of one of its files."""
    client = Client()
    at = assets.settled(client, "data", name, version, label, noun=NOUN)
    found = client.ask("GET", f"{at}/preview", params={"path": path, "rows": rows})
    if not common.chosen.is_for_people or found["kind"] not in {"table", "text"}:
        printing.show(found)
    elif found["kind"] == "text":
        print(found["text"])
    else:
        columns = [column["name"] for column in found["columns"]]
        printing.show([dict(zip(columns, row, strict=True)) for row in found["rows"]], columns)


@app.command()
def profile(name: Name, version: assets.Version = "", label: assets.Label = "", anew: Anew = False) -> None:
    """Shows every column's numbers; they are computed once."""
    client = Client()
    found = _made(
        client, f"{assets.settled(client, 'data', name, version, label, noun=NOUN)}/profile", {"anew": anew}, "profile"
    )
    if not common.chosen.is_for_people:
        printing.show(found)
        return
    whole = f"{found['rows']} rows" + (f" of {found['total_rows']}, a sample" if found["sampled"] else "")
    printing.note(f"{whole}, {len(found['columns'])} columns")
    printing.show(found["columns"], PROFILE_COLUMNS)


@app.command()
def diff(
    name: Name,
    version: assets.Version = "",
    label: assets.Label = "",
    with_: Annotated[str, typer.Option("--with", help="The version to compare with: the old one.")] = "",
    anew: Anew = False,
) -> None:
    """Shows what changed from the version --with: files, columns, rows, and how the values moved."""
    if not with_:
        raise Invalid("Compared with which version?", where="--with")
    client = Client()
    found = _made(
        client,
        f"{assets.settled(client, 'data', name, version, label, noun=NOUN)}/diff",
        {"with": with_, "anew": anew},
        "diff",
    )
    printing.show(_lines(found) if common.chosen.is_for_people else found, ("what", "name", "old", "new"))


def _made(client: Client, path: str, asked: dict[str, Any], word: str) -> dict[str, Any]:
    """Asks for what takes a while, and waits for it."""
    state = client.ask("POST", path, params=asked)
    while state["status"] in {"Queued", "Running"}:
        time.sleep(POLL_SECONDS)
        state = client.ask("GET", path, params={"with": asked["with"]} if "with" in asked else None)
    if state["status"] == "Failed":
        raise Invalid(state["error"])
    if state[word] is None:
        raise EngineError("The studio was stopped meanwhile.", hint="Ask again.")
    found: dict[str, Any] = state[word]
    return found


def _lines(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One line for each difference."""
    lines = [("rows", "", found["old_rows"], found["new_rows"])] if found["is_tabular"] else []
    lines += [("column added", each["name"], "", each["type"]) for each in found["columns_added"]]
    lines += [("column removed", each["name"], each["type"], "") for each in found["columns_removed"]]
    lines += [("column retyped", each["name"], each["old"], each["new"]) for each in found["columns_retyped"]]
    lines += [("file added", path, "", "") for path in found["files_added"]]
    lines += [("file removed", path, "", "") for path in found["files_removed"]]
    lines += [("file changed", each["path"], each["old_size"], each["new_size"]) for each in found["files_changed"]]
    lines += [("mean", each["name"], each["old_mean"], each["new_mean"]) for each in found["drift"]]
    lines += [("note", note, "", "") for note in found["notes"]]
    return [dict(zip(("what", "name", "old", "new"), line, strict=True)) for line in lines]


def _of_type(path: Path, text: str, type: str, where: str) -> Path:
    """Raises Invalid for what is not of the type."""
    if path.is_dir() is (type == "uri_file"):
        what = "a folder" if path.is_dir() else "a file"
        other = "uri_folder" if path.is_dir() else "uri_file"
        raise Invalid(f"'{text[:200]}' is {what}, and the type is {type}.", where=where, hint=f"Say type: {other}.")
    if type == "mltable" and not (path / "MLTable").is_file():
        raise Invalid(f"'{text[:200]}' holds no file 'MLTable'.", where=where)
    return path
