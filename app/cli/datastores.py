"""atelier datastore …"""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import completion, printing
from app.cli.client import SENDING_SECONDS, Client, in_workspace, named, part
from services.core.errors import Invalid

app = typer.Typer(help="Datastores: places where data lies.", no_args_is_help=True)
COLUMNS = ("name", "type", "storage", "authentication.type", "creation_context.created_at", "is_default")
FILES = ("path", "type", "size", "modified")
Name = Annotated[
    str, typer.Option("--name", "-n", help="Name of the datastore.", autocompletion=completion.of("datastores"))
]
File = Annotated[str, typer.Option("--file", "-f", help="The datastore's YAML file.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Changes the file before it is sent: key=value.")]
Tried = Annotated[bool, typer.Option("--validate", help="Try it now; kinds that are not the cloud's always are.")]
Most = Annotated[int, typer.Option("--max-results", "-r", min=0, help="At most so many; 0 for all.")]
Below = Annotated[str, typer.Option("--path", "-p", help="A path in the datastore.")]


@app.command()
def create(file: File, name: Name = "", set_: Settings = None, validate: Tried = False) -> None:
    """Registers a datastore; what opens it is sealed and never shown again."""
    value = _written(file, set_ or [], {"name": name} if name else {})
    _asked("POST", in_workspace("/datastores"), {"spec": value, "validate": validate})


@app.command("list")
def listed(max_results: Most = 0) -> None:
    """Lists the workspace's datastores."""
    printing.show(Client().all(in_workspace("/datastores"), most=max_results), COLUMNS)


@app.command()
def show(name: Name) -> None:
    """Shows one, with the last report on it."""
    printing.show(Client().ask("GET", _at(name)))


@app.command()
def update(
    name: Name,
    set_: Annotated[list[str] | None, typer.Option("--set", help="description=…, tags.key=value.")] = None,
    file: Annotated[str, typer.Option("--file", "-f", help="YAML with new 'credentials'.")] = "",
    validate: Tried = False,
) -> None:
    """Changes description and tags, or what opens it: a file's 'credentials' take the place of the old ones."""
    if bool(set_) == bool(file):
        raise Invalid("Say what changes: --set description=… or a --file with credentials.", where="--set")
    if file:
        from app.cli import reading

        written, _ = reading.source(file)
        if "credentials" not in written.value:
            raise Invalid("The file names no 'credentials'.", where=written.where(("credentials",)))
        body = {"credentials": written.value["credentials"], "validate": validate}
        _asked("PUT", f"{_at(name)}/authentication", body)
        return
    from services.specs import overrides

    now = Client().ask("GET", _at(name))
    change = overrides.changed({"tags": now["tags"]}, set_ or [])
    printing.show(Client().ask("PATCH", _at(name), json=change))


@app.command("set-default")
def set_default(name: Name) -> None:
    """Makes it the place of outputs that name no datastore."""
    printing.show(Client().ask("POST", f"{_at(name)}/default"))


@app.command()
def test(name: Name) -> None:
    """Tries what it can do: write, read, list, rename, delete, a large file; exits with 1 when something failed."""
    answer = Client().answer("POST", f"{_at(name)}/test", timeout=SENDING_SECONDS).json()
    printing.show(answer["report"]["rows"], ("name", "outcome", "detail", "seconds"))
    if not answer["report"]["passed"]:
        raise typer.Exit(1)


@app.command()
def browse(name: Name, path: Below = "", max_results: Most = 0) -> None:
    """Lists the folders and files directly in a path."""
    found = Client().all(f"{_at(name)}/files", params={"path": path, "limit": 1000}, most=max_results)
    printing.show(found, FILES)


@app.command()
def download(
    name: Name,
    path: Below,
    download_path: Annotated[str, typer.Option("--download-path", help="Folder to write to.")] = ".",
) -> None:
    """Fetches one file, or a folder with all that is in it."""
    client, target = Client(), Path(download_path).expanduser()
    at = f"{_at(name)}/files"
    inside = client.all(at, params={"path": path, "limit": 1000})
    saved = []
    todo = inside or [{"path": path.strip("/"), "type": "file"}]
    base = Path(path.strip("/")).parent if not inside else Path(path.strip("/"))
    while todo:
        entry = todo.pop()
        if entry["type"] == "folder":
            todo += client.all(at, params={"path": entry["path"], "limit": 1000})
            continue
        local = _below(target, Path(entry["path"]).relative_to(base))
        client.save(f"{at}/{'/'.join(map(part, entry['path'].split('/')))}", local)
        saved.append(str(local))
    printing.show({"path": str(target.resolve()), "files": len(saved)})


@app.command()
def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Unregisters one that nothing uses; its files stay where they are."""
    at = _at(name)
    if not yes:
        printing.confirm(f"Unregister datastore '{name}'?")
    Client().ask("DELETE", at)


def _at(name: str) -> str:
    return in_workspace(f"/datastores/{part(named(name, 'datastore'))}")


def _asked(method: str, path: str, body: dict[str, Any]) -> None:
    """A trial may take as long as 64 MB take."""
    printing.show(Client().answer(method, path, json=body, timeout=SENDING_SECONDS).json())


def _written(file: str, settings: list[str], more: dict[str, Any]) -> dict[str, Any]:
    """What the file says, checked here so that an error names its line; secrets travel as they were written."""
    from app.cli import reading
    from services.specs import datastores, overrides

    written, _ = reading.source(file)
    value = {**(overrides.apply(written.value, settings) if settings else written.value), **more}
    return datastores.disclosed(datastores.datastore(value, written))


def _below(target: Path, inside: Path) -> Path:
    if ".." in inside.parts or inside.is_absolute():
        raise Invalid(f"'{inside}' leads out of the folder.")
    return target / inside
