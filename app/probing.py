"""Trying datastores: what is to be tried, the trial, what came of it. No transaction is open meanwhile."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from services import datastores
from services.core.errors import AtelierError
from services.specs.datastores import Datastore as Spec
from services.store.rows import Datastore
from services.studio import Scope


class Opening(Protocol):
    """One transaction for who asks."""

    def __call__(self, *, write: bool = False) -> AbstractContextManager[Scope]: ...


def registered(opening: Opening, spec: Spec, *, validate: bool = False) -> Datastore:
    """Ours are always tried first, the cloud's kinds with `validate`. Raises Conflict for one that cannot be used."""
    report: dict[str, Any] | None = None
    is_placeholder = spec.type in datastores.CLOUD
    try:
        with opening() as scope:
            store = datastores.trial(scope, spec) if validate or not is_placeholder else None
        if store is not None:
            with store:
                report = datastores.probed(store)
    except AtelierError as error:
        if not is_placeholder or error.status in {403, 409}:
            raise
        report = datastores.unopened(error)
    with opening(write=True) as scope:
        return datastores.create(scope, spec, report)


def authenticated(
    opening: Opening, name: str, credentials: Mapping[str, Any] | None, *, validate: bool = False
) -> Datastore:
    """New credentials in the place of the old; ours are tried with them first."""
    with opening() as scope:
        spec, store = datastores.reauthenticated(scope, name, credentials)
    report: dict[str, Any] | None = None
    if store is not None and (validate or spec.type not in datastores.CLOUD):
        with store:
            report = datastores.probed(store)
    with opening(write=True) as scope:
        return datastores.authenticate(scope, name, spec, report)


def tested(opening: Opening, name: str) -> Datastore:
    """Tries one that is registered and keeps the report, good or bad."""
    try:
        with opening(write=True) as scope:  # who may not keep the report is refused before the place is asked
            datastores.keep_report(scope, name, (row := datastores.get(scope, name)).report)
            store = datastores.opened(scope, row)
        with store:
            report = datastores.probed(store)
    except AtelierError as error:
        if error.status in {403, 404}:
            raise
        report = datastores.unopened(error)
    with opening(write=True) as scope:
        return datastores.keep_report(scope, name, report)
