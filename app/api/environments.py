"""Environments, their versions and builds."""

import dataclasses
import os
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app.api.assets import shared
from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import environments
from services.assets import LATEST
from services.core.errors import Invalid, NotFound
from services.core.states import AssetKind
from services.specs.environments import Environment
from services.specs.maps import Curated
from services.specs.problems import checked
from services.store.rows import Asset
from services.studio import Scope


def _shown(scope: Scope, row: Asset) -> dict[str, Any]:
    return environments.as_json(row, environments.build_of(scope, row))


router = shared("environments", AssetKind.environment, _shown)
PIECE = 1 << 20


class Definition(BaseModel):
    """A definition as it is sent: conda files inline, the build context uploaded before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]
    context: str | None = None


class Pruning(BaseModel):
    """`versions_too`: also images of versions that are not archived; they are built again when needed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    versions_too: bool = False
    dry_run: bool = True


@router.post("", status_code=201, openapi_extra=described(Definition))
def create(asking: Asking, ws: str, sent: Definition = body(Definition)) -> Any:
    """Creates a version; conda files inline, a build context uploaded before."""
    spec = checked(Environment, sent.spec)
    with asking.scope(ws, write=True) as scope:
        return _shown(scope, environments.create(scope, spec, context=sent.context))


@router.get("/curated")
def curated(asking: Asking, ws: str) -> Any:
    """The cloud's curated environments that have an equivalent here, with the references that name them."""
    with asking.scope(ws) as scope:
        return page([_curated(each) for each in environments.curated(scope)])


@router.get("/disk")
def disk(asking: Asking, ws: str) -> Any:
    """What images take, in bytes, and why each stays; `reclaimable` is what nothing needs."""
    with asking.scope(ws) as scope:
        kept = environments.disk(scope)
    return {
        "images": [dataclasses.asdict(each) for each in kept],
        "total": sum(each.size for each in kept),
        "reclaimable": sum(each.size for each in kept if not each.holder),
    }


@router.post("/prune", openapi_extra=described(Pruning))
def prune(asking: Asking, ws: str, sent: Pruning = body(Pruning)) -> Any:
    """Removes images that nothing needs; only says which they are unless `dry_run` is false."""
    with asking.scope(ws, write=True) as scope:
        going = environments.prune(scope, versions_too=sent.versions_too, dry_run=sent.dry_run)
    return {
        "images": [dataclasses.asdict(each) for each in going],
        "total": sum(each.size for each in going),
        "dry_run": sent.dry_run,
    }


@router.get("/jobs/{job}/packages")
def packages_of_job(asking: Asking, ws: str, job: str) -> Response:
    """What was installed in the image that a job ran on, as a requirements file."""
    with asking.scope(ws) as scope:
        return _requirements(environments.lock_of_job(scope, job))


@router.post("/{name}/versions/{version}/build", status_code=202)
def build(asking: Asking, ws: str, name: str, version: str) -> Any:
    """Asks for the image to be built, anew if it was built before."""
    with asking.scope(ws, write=True) as scope:
        environments.build(scope, name, _version(version))
        return _shown(scope, environments.get(scope, name, _version(version)))


@router.post("/{name}/versions/{version}/build/cancel", status_code=202)
def cancel_build(asking: Asking, ws: str, name: str, version: str) -> Any:
    """Gives up a build that waits or runs."""
    with asking.scope(ws, write=True) as scope:
        environments.cancel_build(scope, name, _version(version))
        return _shown(scope, environments.get(scope, name, _version(version)))


@router.get("/{name}/versions/{version}/diagnosis")
def diagnosis(asking: Asking, ws: str, name: str, version: str) -> Any:
    """Why the last build failed: the line of its log, the cause and what to try; null when it did not fail."""
    with asking.scope(ws) as scope:
        found = environments.build_of(scope, environments.get(scope, name, _version(version)))
        said = environments.diagnosis(scope, found) if found else None
    return None if said is None else dataclasses.asdict(said)


@router.get("/{name}/versions/{version}/packages")
def packages(asking: Asking, ws: str, name: str, version: str) -> Response:
    """What is installed in the image as it was last built, as a requirements file."""
    with asking.scope(ws) as scope:
        return _requirements(environments.installed(scope, environments.get(scope, name, _version(version))))


@router.get("/{name}/versions/{version}/context")
def context(asking: Asking, ws: str, name: str, version: str) -> Any:
    """The files of the build context, by path."""
    with asking.scope(ws) as scope:
        found = environments.context_files(scope, environments.get(scope, name, _version(version)))
    return page([dataclasses.asdict(each) for each in found])


@router.get("/{name}/versions/{version}/context/{path:path}")
def context_file(asking: Asking, ws: str, name: str, version: str, path: str) -> Response:
    """One file of the build context; its first mebibyte."""
    with asking.scope(ws) as scope:
        data = environments.context_file(scope, environments.get(scope, name, _version(version)), path)
    return Response(data, media_type="application/octet-stream")


@router.get("/{name}/versions/{version}/build-log")
def build_log(asking: Asking, ws: str, name: str, version: str, offset: Annotated[int, Query(ge=0)] = 0) -> Response:
    """The log of the build from `offset`, with the offset after it in X-Log-Offset."""
    with asking.scope(ws) as scope:
        found = environments.build_of(scope, environments.get(scope, name, _version(version)))
        if found is None:
            raise NotFound(f"Environment '{name}:{version}' was not built yet.")
        path, is_over = environments.build_log(scope, found), found.status not in environments.WAITING
    data = b""
    if path.is_file():
        with path.open("rb") as file:
            if offset > (size := os.fstat(file.fileno()).st_size):
                raise Invalid(f"Offset {offset} is outside of the log's {size} bytes.", where="offset")
            file.seek(offset)
            data = file.read(PIECE)
    headers = {"X-Log-Offset": str(offset + len(data)), "X-Log-End": str(is_over and len(data) < PIECE).lower()}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _version(version: str) -> str | None:
    return None if version == LATEST else version


def _requirements(lines: list[str]) -> Response:
    return Response("".join(f"{line}\n" for line in lines), media_type="text/plain; charset=utf-8")


def _curated(each: Curated) -> dict[str, Any]:
    return {
        "name": each.name,
        "references": list(each.references),
        "description": each.definition.description or "",
        **each.definition.model_dump(mode="json", include={"image", "conda_file"}, exclude_none=True),
        "source": "atelier" if each.is_shipped else "maps.yml",
    }
