"""What a batch endpoint is invoked with: from flags or a file to what REST takes; local files are sent."""

from pathlib import Path
from typing import Any

import typer

from app.cli import common, following, printing, reading, upload
from app.cli.client import Client
from services.core.errors import Invalid
from services.specs import local, overrides, source
from services.specs.endpoints import Invocation
from services.specs.jobs import Data
from services.specs.problems import checked
from services.specs.source import Source

INPUT, OUTPUT = "input", "score"


def read(
    client: Client,
    file: str,
    path: str,
    type: str,
    inputs: list[str],
    outputs: list[str],
    output_path: str,
) -> dict[str, Any]:
    """`inputs` and `outputs` by name. Raises Invalid naming the flag, or file and line; nothing is sent before."""
    if file and path:
        raise Invalid("Either a --file or an --input.", where="--input")
    written, base = reading.source(file) if file else (source.load("{}"), Path.cwd())
    value: dict[str, Any] = {"inputs": {}, "outputs": {}, **written.value}
    if path:
        value["inputs"] = {INPUT: {"path": path, "type": type or _type_of(path)}}
    elif type:
        raise Invalid("It says what the --input is.", where="--input-type")
    for flag, words in (("inputs", inputs), ("outputs", outputs)):
        value = overrides.apply(value, [f"{flag}.{word}" for word in words])
    if output_path:
        value["outputs"] = {**(value["outputs"] or {}), OUTPUT: {"path": output_path}}
    if not value["inputs"]:
        raise Invalid("There is nothing to work on.", where="--input", hint="Give an --input, or a --file with inputs.")
    spec = checked(Invocation, value, written)
    sent = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    here = {name: _here(each, base, written, name) for name, each in spec.inputs.items() if isinstance(each, Data)}
    for name, found in here.items():
        if found is not None:
            sent["inputs"][name]["path"] = upload.data(client, found, what=name)
    return sent


def followed(client: Client, job: dict[str, Any]) -> None:
    """The job's log until its end; leaves with 1 when it did not complete."""
    ended = following.followed(client, job, aside=common.chosen.is_document)
    if common.chosen.is_document:
        printing.show(ended)
    if ended["status"] != "Completed":
        printing.note(f"Error: the job is {ended['status']}: {ended['message'] or ended['reason']}")
        raise typer.Exit(1)


def _here(data: Data, base: Path, written: Source, name: str) -> Path | None:
    if local.is_uri(data.path):
        return None
    where = written.where(("inputs", name, "path")) if written.value else "--input"
    return local.existing(data.path, base, where)


def _type_of(path: str) -> str:
    """Of a local path what it is; of anything else a folder, as in jobs."""
    is_here = not local.is_uri(path)
    return "uri_file" if is_here and Path(path.removeprefix("file:")).expanduser().is_file() else "uri_folder"
