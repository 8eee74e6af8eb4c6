"""Secrets of a workspace: values that go in and never come out, for variables that say ${{secrets.NAME}}."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import body, described
from app.api.caller import Asking, page
from services import secrets
from services.core import times
from services.store.rows import Secret

router = APIRouter(prefix="/workspaces/{ws}/secrets", tags=["secrets"])


class Value(BaseModel):
    """What is to be kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    value: str = Field(min_length=1, max_length=64 << 10)


@router.get("")
def listed(asking: Asking, ws: str) -> Any:
    """Their names; values are never shown."""
    with asking.scope(ws) as scope:
        return page([_shown(row) for row in secrets.listed(scope)])


@router.put("/{name}", openapi_extra=described(Value))
def put(asking: Asking, ws: str, name: str, sent: Value = body(Value)) -> Any:
    """Puts a value in, in the place of the one before."""
    with asking.scope(ws, write=True) as scope:
        return _shown(secrets.keep(scope, name, sent.value))


@router.delete("/{name}", status_code=204)
def remove(asking: Asking, ws: str, name: str) -> None:
    """Removes one; what refers to it does not start any more."""
    with asking.scope(ws, write=True) as scope:
        secrets.forget(scope, name)


def _shown(row: Secret) -> dict[str, Any]:
    return {
        "name": row.name.removeprefix(secrets.USER),
        "version": row.version,
        "created_at": times.iso(row.created_at),
        "created_by": row.created_by,
    }
