"""What all kinds of assets have in common over REST: lists, versions, labels, what may change, what goes away."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api.bodies import body, described
from app.api.caller import Asking, page, revision
from services import assets
from services.assets import AssetQuery
from services.core.errors import Invalid
from services.core.paging import MOST
from services.core.states import AssetKind
from services.specs.fields import Description
from services.store.rows import Asset
from services.studio import Scope

Shown = Callable[[Scope, Asset], dict[str, Any]]


class Change(BaseModel):
    """What may change of a version; left out: as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: Description | None = None
    tags: dict[str, str] | None = None
    properties: dict[str, str] | None = None
    stage: str | None = Field(default=None, max_length=255)


class Labelled(BaseModel):
    """Which version a label is put on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str


def asked(
    search: str = "",
    type: str = "",
    created_by: str = "",
    tag: Annotated[str, Query(description="key=value")] = "",
    include_archived: bool = False,
    order_by: str = "name",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    cursor: str = "",
) -> AssetQuery:
    return AssetQuery(search, type, created_by, tag, include_archived, order_by, limit, cursor)


Asked = Annotated[AssetQuery, Depends(asked)]


def shared(noun: str, kind: AssetKind, shown: Shown) -> APIRouter:
    """The routes of `/workspaces/{ws}/<noun>` that do not differ; the noun adds how one is created."""
    router = APIRouter(prefix=f"/workspaces/{{ws}}/{noun}", tags=[noun])
    one, many = assets.spoken(kind), f"{assets.spoken(kind)}s"

    @router.get("", description=f"The latest version of each of the {many}.")
    def listed(asking: Asking, ws: str, query: Asked) -> Any:
        with asking.scope(ws) as scope:
            found = assets.listed(scope, kind, query)
            return page([shown(scope, row) for row in found.rows], found.next_cursor)

    @router.get("/{name}/versions", description=f"All versions of one of the {many}, the newest first.")
    def versions(asking: Asking, ws: str, name: str, include_archived: bool = True) -> Any:
        with asking.scope(ws) as scope:
            rows = assets.versions(scope, kind, name, include_archived=include_archived)
            return page([shown(scope, row) for row in rows])

    @router.get(
        "/{name}/versions/{version}", description="One version, with an ETag; `latest` is the most recently created."
    )
    def show(asking: Asking, ws: str, name: str, version: str, response: Response) -> Any:
        with asking.scope(ws) as scope:
            row = _one(scope, name, version)
            response.headers["ETag"] = f'"{revision(row)}"'
            return shown(scope, row)

    @router.get("/{name}/labels/{label}", description="The version that a label stands on.")
    def labelled(asking: Asking, ws: str, name: str, label: str) -> Any:
        with asking.scope(ws) as scope:
            return shown(scope, assets.get(scope, kind, name, label=label))

    @router.get("/{name}/versions/{version}/uses", description="What would break if the version went away.")
    def uses(asking: Asking, ws: str, name: str, version: str) -> Any:
        with asking.scope(ws) as scope:
            found = assets.uses(scope, _one(scope, name, version))
            return page([{"kind": use.kind, "name": use.name, "role": use.role} for use in found])

    @router.patch(
        "/{name}/versions/{version}",
        openapi_extra=described(Change),
        description=f"Changes what is not content of a version of the {one}; If-Match guards against another's change.",
    )
    def change(
        asking: Asking, ws: str, name: str, version: str, response: Response, sent: Change = body(Change)
    ) -> Any:
        if sent.stage is not None and kind is not AssetKind.model:
            raise Invalid("Only models have a stage.", where="stage")
        with asking.scope(ws, write=True) as scope:
            row = _one(scope, name, version)
            asking.expects(scope, row)
            assets.change(scope, row, **sent.model_dump())
            response.headers["ETag"] = f'"{revision(row)}"'
            return shown(scope, row)

    @router.post("/{name}/archive", description="Hides all versions from lists; what names them still works.")
    def archive_all(asking: Asking, ws: str, name: str) -> Any:
        with asking.scope(ws, write=True) as scope:
            return page([shown(scope, row) for row in assets.archive(scope, kind, name)])

    @router.post("/{name}/restore", description="Shows all archived versions again.")
    def restore_all(asking: Asking, ws: str, name: str) -> Any:
        with asking.scope(ws, write=True) as scope:
            return page([shown(scope, row) for row in assets.archive(scope, kind, name, restore=True)])

    @router.post("/{name}/versions/{version}/archive", description="Hides a version from lists.")
    def archive(asking: Asking, ws: str, name: str, version: str) -> Any:
        with asking.scope(ws, write=True) as scope:
            [row] = assets.archive(scope, kind, name, _one(scope, name, version).version)
            return shown(scope, row)

    @router.post("/{name}/versions/{version}/restore", description="Shows an archived version again.")
    def restore(asking: Asking, ws: str, name: str, version: str) -> Any:
        with asking.scope(ws, write=True) as scope:
            [row] = assets.archive(scope, kind, name, _one(scope, name, version).version, restore=True)
            return shown(scope, row)

    @router.delete(
        "/{name}/versions/{version}", status_code=204, description="Forgets a version that nothing uses; files stay."
    )
    def remove(asking: Asking, ws: str, name: str, version: str) -> None:
        with asking.scope(ws, write=True) as scope:
            row = _one(scope, name, version)
            asking.expects(scope, row)
            assets.remove(scope, row)

    @router.put(
        "/{name}/labels/{label}",
        openapi_extra=described(Labelled),
        description="Puts a label on a version; it leaves the one that had it.",
    )
    def label_(asking: Asking, ws: str, name: str, label: str, sent: Labelled = body(Labelled)) -> Any:
        with asking.scope(ws, write=True) as scope:
            row = assets.get(scope, kind, name, sent.version)
            assets.set_label(scope, row, label)
            return shown(scope, row)

    @router.delete("/{name}/labels/{label}", status_code=204, description="Takes a label away.")
    def unlabel(asking: Asking, ws: str, name: str, label: str) -> None:
        with asking.scope(ws, write=True) as scope:
            assets.remove_label(scope, kind, name, label)

    def _one(scope: Scope, name: str, version: str) -> Asset:
        return assets.get(scope, kind, name, None if version == assets.LATEST else version)

    return router
