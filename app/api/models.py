"""Models, their files, what their run recorded, and who approved them."""

from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app import streams
from app.api.assets import shared
from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import assets, models
from services.core.errors import Invalid
from services.core.paging import MOST
from services.core.states import AssetKind
from services.engines.contents import Contents
from services.specs.models import Model
from services.specs.problems import checked

router = shared("models", AssetKind.model, models.as_json)
Range = Annotated[str | None, Header()]
COMPARED = 10


class Definition(BaseModel):
    """A model as it is sent: the path is a URI, of files that were uploaded `azureml://uploads/<id>/…`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]


class Approval(BaseModel):
    """Why a version may be used; `withdraw` takes an earlier word back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    note: str = ""
    withdraw: bool = False


@router.post("", status_code=201, openapi_extra=described(Definition))
def create(asking: Asking, ws: str, sent: Definition = body(Definition)) -> Any:
    """Creates a version: of files uploaded before, a job's output, a run's artifacts or a datastore's path."""
    spec = checked(Model, sent.spec)
    with asking.scope(ws, write=True) as scope:
        return models.as_json(scope, models.create(scope, spec))


@router.get("/{name}/versions/{version}/files")
def files(
    asking: Asking,
    ws: str,
    name: str,
    version: str,
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
    cursor: str = "",
) -> Any:
    """Its files by path; the cursor is the last path of the page before."""
    found = _contents(asking, ws, name, version).listing(most=limit, after=cursor)
    rows = [{"path": each.path, "size": each.size} for each in found.files]
    return page(rows, "" if found.is_whole else found.files[-1].path)


@router.get("/{name}/versions/{version}/files/{path:path}")
def file(asking: Asking, ws: str, name: str, version: str, path: str, range: Range = None) -> Response:
    """One file; ranges are honoured."""
    opened, size = _contents(asking, ws, name, version).opened(path)
    return streams.file(opened, size, path, range)


@router.post("/{name}/versions/{version}/approve", openapi_extra=described(Approval))
def approve(asking: Asking, ws: str, name: str, version: str, sent: Approval = body(Approval)) -> Any:
    """Notes that a version may be used, by whom and why; or takes that back."""
    with asking.scope(ws, write=True) as scope:
        row = models.get(scope, name, _number(version))
        return models.as_json(scope, models.approve(scope, row, sent.note, withdraw=sent.withdraw))


@router.get("/{name}/compare")
def compare(asking: Asking, ws: str, name: str, versions: Annotated[str, Query(description="1,2,3")]) -> Any:
    """Versions beside each other: metrics and parameters of their runs, signatures, and files with their sizes."""
    wanted = [each for each in versions.split(",") if each][:COMPARED]
    if not wanted:
        raise Invalid("Which versions?", where="versions")
    with asking.scope(ws) as scope:
        found = models.compare(scope, name, wanted)
        shown = [models.as_json(scope, each.asset) for each in found]
    return page([{**one, **_compared(each)} for one, each in zip(shown, found, strict=True)])


def _compared(each: models.Compared) -> dict[str, Any]:
    return {
        "metrics": {metric.key: metric.last for metric in each.recorded.metrics},
        "params": each.recorded.params,
        "files": models.sizes(each),
    }


def _contents(asking: Asking, ws: str, name: str, version: str) -> Contents:
    with asking.scope(ws) as scope:
        return models.contents(scope, models.get(scope, name, _number(version)))


def _number(version: str) -> str | None:
    return None if version == assets.LATEST else version
