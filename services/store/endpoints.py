"""Questions about endpoints of one kind, online or batch, and about what stands behind one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from services.core import names
from services.core.errors import Invalid
from services.core.paging import Page, cut
from services.core.times import now
from services.store.serving import Deployment, Endpoint

ORDERS = {"name": Endpoint.folded, "created_at": Endpoint.created_at, "updated_at": Endpoint.updated_at}
_SUGGESTED = 200


@dataclass(frozen=True)
class EndpointQuery:
    """What to list; `search` looks in names and descriptions. `order_by` is of ORDERS, with '-' for descending."""

    search: str = ""
    order_by: str = "name"
    limit: int = 50
    cursor: str = ""


@dataclass(frozen=True)
class Endpoints:
    """Those of a kind in a workspace."""

    session: Session
    workspace_id: str
    kind: str

    def named(self, name: str) -> Endpoint | None:
        """Whatever its case."""
        found: Endpoint | None = self.session.exec(
            self._all().where(Endpoint.folded == names.folded(name))
        ).one_or_none()
        return found

    def names(self) -> Sequence[str]:
        """Some, for who may have mistyped one."""
        found: Sequence[str] = self.session.exec(
            self._all().with_only_columns(col(Endpoint.name)).limit(_SUGGESTED)
        ).all()
        return found

    def page(self, query: EndpointQuery) -> Page[Endpoint]:
        """Raises Invalid for an unknown column or cursor."""
        column = query.order_by.removeprefix("-")
        if column not in ORDERS:
            raise Invalid(
                f"They cannot be sorted by {column[:80]!r}.", where="order_by", hint=f"By {', '.join(ORDERS)}."
            )
        statement = self._all()
        if query.search:
            found = col(Endpoint.name).icontains(query.search, autoescape=True)
            statement = statement.where(found | col(Endpoint.description).icontains(query.search, autoescape=True))
        ordered = (col(ORDERS[column]), col(Endpoint.id))
        is_descending = query.order_by.startswith("-")
        return cut(
            self.session,
            statement.order_by(*(part.desc() if is_descending else part for part in ordered)),
            limit=query.limit,
            cursor=query.cursor,
        )

    def _all(self) -> Any:
        return select(Endpoint).where(Endpoint.workspace_id == self.workspace_id, Endpoint.kind == self.kind)


def deployments_of(session: Session, endpoint: Endpoint) -> list[Deployment]:
    """Those behind it, by name."""
    return list(
        session.exec(select(Deployment).where(Deployment.endpoint_id == endpoint.id).order_by(col(Deployment.folded)))
    )


def touch(session: Session, row: Endpoint | Deployment) -> None:
    """Notes that somebody has changed it: when, and that it is another revision."""
    row.updated_at = now()
    row.revision += 1
    session.add(row)
