"""What all kinds of assets have in common on the command line; each noun adds how one is created."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from app.cli import completion, printing
from app.cli.client import Client, in_workspace, named, part
from services.core.errors import Invalid

Version = Annotated[str, typer.Option("--version", "-v", help="Its version; the latest when left out.")]
NewVersion = Annotated[str, typer.Option("--version", "-v", help="Its version; the next number when left out.")]
Target = Annotated[Path, typer.Option("--download-path", "-p", help="Where to.")]
Label = Annotated[str, typer.Option("--label", "-l", help="A label instead of a version, such as latest.")]
Named = Annotated[str, typer.Option("--label", "-l", help="The label, such as champion.")]
Archived = Annotated[bool, typer.Option("--include-archived", help="Archived ones too.")]
Most = Annotated[int, typer.Option("--max-results", "-r", min=0, help="At most so many; 0 for all.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="description=…, tags.key=value, stage=….")]
COLUMNS = ("name", "version", "type", "description", "creation_context.created_at")


def shared(app: typer.Typer, noun: str, folder: str, columns: tuple[str, ...] = COLUMNS) -> None:
    """Adds list, show, update, archive, restore, delete, label and unlabel; REST is at `folder`."""
    name_ = Annotated[
        str, typer.Option("--name", "-n", help=f"Name of the {noun}.", autocompletion=completion.of(folder))
    ]
    version_ = Annotated[str, typer.Option("--version", "-v", help="Its version.")]

    def one(name: str, version: str, label: str) -> dict[str, Any]:
        found: dict[str, Any] = Client().ask("GET", path_of(folder, name, version, label, noun=noun))
        return found

    def path(name: str, version: str, label: str) -> str:
        """Of a version, with a label looked up first: a change is of a version."""
        if label and label != "latest":
            version = one(name, version, label)["version"]
        return path_of(folder, name, version or "latest", noun=noun)

    @app.command("list", help=f"Lists each {noun}'s latest version, or the versions of one.")
    def listed(name: name_ = "", max_results: Most = 0, include_archived: Archived = False) -> None:
        where = f"/{folder}/{part(name)}/versions" if name else f"/{folder}"
        asked = {"include_archived": include_archived}
        printing.show(Client().all(in_workspace(where), params=asked, most=max_results), columns)

    @app.command(help="Shows one version: the latest when none is named.")
    def show(name: name_, version: version_ = "", label: Label = "") -> None:
        printing.show(one(name, version, label))

    @app.command(help="Changes description, tags, properties or stage; content never changes.")
    def update(name: name_, version: version_ = "", label: Label = "", set_: Settings = None) -> None:
        from services.specs import overrides

        at = path(name, version, label)
        client = Client()
        now = client.ask("GET", at)
        change = overrides.changed({key: now[key] for key in ("tags", "properties")}, set_ or [])
        printing.show(client.ask("PATCH", at, json=change))

    @app.command(help="Hides a version, or all of them, from lists; what names it still works.")
    def archive(name: name_, version: version_ = "", label: Label = "") -> None:
        _moved("archive", name, version, label)

    @app.command(help="Shows archived versions again.")
    def restore(name: name_, version: version_ = "", label: Label = "") -> None:
        _moved("restore", name, version, label)

    @app.command(help="Forgets a version that nothing uses; its files stay where they are.")
    def delete(
        name: name_,
        version: version_ = "",
        label: Label = "",
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    ) -> None:
        if not version and not label:
            raise Invalid(f"Which version of the {noun}? Name a --version or a --label.", where="--version")
        at = path(name, version, label)
        if not yes:
            printing.confirm(f"Delete {noun} '{name}:{at.rpartition('/')[2]}'?")
        Client().ask("DELETE", at)

    @app.command(help="Puts a label on a version; it leaves the one that had it.")
    def label(name: name_, version: version_, label: Named) -> None:
        at = in_workspace(f"/{folder}/{part(named(name, noun))}/labels/{part(named(label, 'label'))}")
        printing.show(Client().ask("PUT", at, json={"version": version}))

    @app.command(help="Takes a label away.")
    def unlabel(name: name_, label: Named) -> None:
        Client().ask("DELETE", in_workspace(f"/{folder}/{part(named(name, noun))}/labels/{part(label)}"))

    def _moved(verb: str, name: str, version: str, label: str) -> None:
        whole = in_workspace(f"/{folder}/{part(named(name, noun))}")
        Client().ask("POST", f"{path(name, version, label) if version or label else whole}/{verb}")


def path_of(folder: str, name: str, version: str = "", label: str = "", *, noun: str) -> str:
    """Raises Invalid without a name, or with both a version and a label."""
    if version and label:
        raise Invalid("Either a --version or a --label.", where="--label")
    here = in_workspace(f"/{folder}/{part(named(name, noun))}")
    return (
        f"{here}/labels/{part(label)}"
        if label and label != "latest"
        else f"{here}/versions/{part(version or 'latest')}"
    )


def settled(client: Client, folder: str, name: str, version: str, label: str, *, noun: str) -> str:
    """Where REST has the version; the latest is looked up once, so that it stays the same one."""
    at = path_of(folder, name, version, label, noun=noun)
    if label or not version:
        at = path_of(folder, name, client.ask("GET", at)["version"], noun=noun)
    return at


def downloaded(client: Client, at: str, target: Path) -> int:
    """Saves the files that REST lists at `at` below `target`; how many. Raises Invalid for a path that leads out."""
    rows = client.all(at)
    for row in rows:
        parts = PurePosixPath(row["path"]).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise Invalid(f"The studio named a path outside of the folder: {row['path']!r}.")
        client.save(f"{at}/{'/'.join(part(piece) for piece in parts)}", target.joinpath(*parts))
    return len(rows)


def files(count: int) -> str:
    return f"{count} {'file' if count == 1 else 'files'}"
