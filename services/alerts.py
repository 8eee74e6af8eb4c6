"""Alerts of an endpoint: who is told when a deployment fails, answers too many errors, or answers too late.

A webhook's address is a secret, for its path often opens it: it is sealed in the vault, and only its host is shown.
"""

import re
from collections.abc import Sequence
from typing import Any

from services import access, endpoints, secrets
from services.core import names
from services.core.errors import Conflict, Invalid, Unavailable
from services.engines import messages
from services.events import emit
from services.specs.rollouts import Alert, alert
from services.store.endpoints import touch
from services.store.serving import Endpoint
from services.studio import Scope, Studio

MOST = 50
_MAIL = re.compile(r"\A[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?\Z", re.ASCII)


def checked(studio: Studio, wanted: Sequence[Alert]) -> None:
    """Asks the network for the webhooks' hosts; before the change, for it may take seconds. Raises Invalid."""
    for index, each in enumerate(wanted):
        if each.webhook and not _is_shown(each.webhook):
            try:
                messages.checked_webhook(each.webhook, allowed_hosts(studio))
            except (Invalid, Unavailable) as cause:
                raise Invalid(cause.message, where=f"alerts[{index}].webhook", hint=cause.hint) from cause


def put(scope: Scope, endpoint: str, wanted: Sequence[Alert]) -> list[Alert]:
    """In the place of all that were there. A webhook given as it is shown stays what it was.

    Raises Invalid for names given twice, for mail where nothing sends any, and for what is no address.
    """
    access.require(scope, "onlineEndpoints/write")
    row = endpoints.get(scope, endpoint)
    scope.session.flush()
    scope.session.refresh(row, with_for_update=True)
    if row.desired == "delete":
        raise Conflict(f"Endpoint '{row.name}' is being deleted.")
    if len(wanted) > MOST:
        raise Invalid(f"An endpoint has at most {MOST} alerts.", where="alerts")
    for index, each in enumerate(wanted):
        _check(scope.studio, each, where=f"alerts[{index}]", taken=[other.name for other in wanted[:index]])
    before = {names.folded(each.name): each for each in _of(row)}
    kept = [
        _sealed(scope, row, each, before.get(names.folded(each.name)), f"alerts[{at}]")
        for at, each in enumerate(wanted)
    ]
    for name in before.keys() - {names.folded(each.name) for each in wanted if each.webhook}:
        secrets.purge(scope, endpoints.webhook_place(row, name))
    row.alerts = [each.model_dump(mode="json") for each in kept]
    touch(scope.session, row)
    emit(scope, "endpoint", row.name, f"Alerts were set: {', '.join(repr(each.name) for each in kept) or 'none'}")
    return kept


def listed(scope: Scope, endpoint: str) -> list[Alert]:
    """Those of an endpoint; of webhooks only the host."""
    access.require(scope, "onlineEndpoints/read")
    return _of(endpoints.get(scope, endpoint))


def allowed_hosts(studio: Studio) -> list[str]:
    """Inside of the network, opened by an admin."""
    return [host.strip() for host in studio.settings.allowed_url_hosts.split(",") if host.strip()]


def as_json(row: Alert) -> dict[str, Any]:
    return row.model_dump(mode="json")


def _of(row: Endpoint) -> list[Alert]:
    return [alert(each) for each in row.alerts]


def _check(studio: Studio, each: Alert, *, where: str, taken: Sequence[str]) -> None:
    names.checked_display_name(each.name, field=f"{where}.name")
    if not each.name.strip():
        raise Invalid("An alert needs a name.", where=f"{where}.name")
    if names.folded(each.name) in map(names.folded, taken):
        raise Invalid(f"There are two alerts '{each.name}'.", where=f"{where}.name")
    if each.mail and not studio.settings.smtp_url:
        raise Invalid(
            "No mail can be sent from this studio.",
            where=f"{where}.mail",
            hint="An admin can set ATELIER_SMTP_URL; a webhook needs nothing.",
        )
    for address in each.mail:
        if not _MAIL.match(address):
            raise Invalid(f"{address[:80]!r} is not a mail address.", where=f"{where}.mail")


def _sealed(scope: Scope, row: Endpoint, each: Alert, before: Alert | None, where: str) -> Alert:
    """With the webhook in the vault, and only its host in the row."""
    if not each.webhook:
        return each
    if _is_shown(each.webhook):
        if before is None or before.webhook != each.webhook:
            raise Invalid(
                "The webhook is cut short.", where=f"{where}.webhook", hint="Give all of it: it is shown to nobody."
            )
        return each
    try:
        host = messages.host_of(each.webhook)
    except Invalid as cause:
        raise Invalid(cause.message, where=f"{where}.webhook") from cause
    secrets.put(scope, endpoints.webhook_place(row, each.name), each.webhook)
    return each.model_copy(update={"webhook": f"{each.webhook.partition(':')[0]}://{host}/…"})


def _is_shown(webhook: str) -> bool:
    return webhook.endswith("/…")
