"""Alerts: somebody is told once when an endpoint goes wrong, and again only after it was well for a while.

What is wrong is kept as an excursion in the database, by alert and deployment, so that whoever looks next knows what
was told. An excursion is claimed before it is told: one worker tells it, and another when that one died meanwhile.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlmodel import Session, col, delete, select

from services import alerts, endpoints, secrets
from services.core.errors import AtelierError, Unavailable
from services.core.names import new_id
from services.core.states import ProvisioningState
from services.core.times import iso, now, parse
from services.engines import messages
from services.events import emit
from services.specs.rollouts import Alert, alert
from services.store.requests import Window
from services.store.rows import Fact, Workspace
from services.store.serving import Deployment, Endpoint
from services.studio import SYSTEM, Studio

log = logging.getLogger("atelier.worker")
ENOUGH = 5
"""Requests in a window below which rates and latencies say nothing."""
WAITS = (1.0, 4.0)
"""Seconds between the tries of one message."""
CLAIM = timedelta(minutes=2)
SCHEMA = "atelier.alert/1"
_FACT = "alerts/"


@dataclass(frozen=True)
class Excursion:
    """Something that went wrong and was not well again for long. Times in ISO; empty: not yet, or not now."""

    id: str
    since: str
    value: float | None = None
    claimed_until: str = ""
    told_at: str = ""
    well_since: str = ""


@dataclass(frozen=True)
class Reading:
    """What an alert says of one deployment at this moment."""

    alert: Alert
    deployment: str
    key: str
    is_bad: bool
    value: float | None = None


@dataclass(frozen=True)
class Notice:
    """One excursion that is told now."""

    endpoint_id: str
    excursion: Excursion
    reading: Reading


class Alerts:
    """The worker's part. Messages go out in threads of their own: who answers slowly holds up nobody."""

    def __init__(self, studio: Studio, *, waits: Sequence[float] = WAITS) -> None:
        self.studio, self._waits = studio, waits
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="alert")
        self._sending: list[Future[None]] = []

    def look(self) -> None:
        """Cheap while no endpoint has alerts."""
        self._sending = [each for each in self._sending if not each.done()]
        with self.studio.database.session(write=False) as session:
            facts = {fact.name: fact for fact in session.exec(select(Fact).where(col(Fact.name).startswith(_FACT)))}
            watched = [
                (endpoint, _deployments(session, endpoint), _read(facts.pop(f"{_FACT}{endpoint.id}", None)))
                for endpoint in session.exec(select(Endpoint).where(Endpoint.kind == "online"))
                if endpoint.alerts
            ]
        for endpoint, deployments, known in watched:
            if endpoint.desired == "run":
                found = list(self._readings(endpoint, deployments))
                at, kept = now(), followed(known, found, now())
                if kept != known or any(is_due(each, at) for each in kept.values()):
                    self._record(endpoint, found)
        self._forget(facts)

    def _readings(self, endpoint: Endpoint, deployments: Sequence[Deployment]) -> Iterator[Reading]:
        for each in map(alert, endpoint.alerts):
            for deployment in deployments:
                is_measured = each.on != "failed"
                window = self.studio.requests.window(deployment.id, each.window) if is_measured else Window()
                yield read(each, deployment, window)

    def _forget(self, facts: Iterable[str]) -> None:
        """What was known of endpoints that have no alerts any more, or are gone."""
        if names := list(facts):
            with self.studio.database.session(write=True) as session:
                session.connection().execute(delete(Fact).where(col(Fact.name).in_(names)))

    def settle(self, seconds: float) -> None:
        """Waits for messages that are under way."""
        wait(self._sending, timeout=seconds)

    def _record(self, endpoint: Endpoint, found: Sequence[Reading]) -> None:
        """Writes what changed, and sends what is to be told and was not claimed by another."""
        at = now()
        with self.studio.database.session(write=True) as session:
            # Held, so that of two workers one decides after the other.
            if session.get(Endpoint, endpoint.id, with_for_update=True) is None:
                return
            kept = followed(_read(session.get(Fact, f"{_FACT}{endpoint.id}")), found, at)
            due = {reading.key: reading for reading in found if reading.key in kept and is_due(kept[reading.key], at)}
            until = str(iso(at + CLAIM))
            kept |= {key: replace(kept[key], claimed_until=until) for key in due}
            _keep(session, endpoint.id, kept)
        for key, reading in due.items():
            self._sending.append(self._pool.submit(self._guarded, Notice(endpoint.id, kept[key], reading)))

    def _guarded(self, notice: Notice) -> None:
        try:
            self._tell(notice)
        except Exception:
            log.exception("The alert '%s' could not be told", notice.reading.alert.name)

    def _tell(self, notice: Notice) -> None:
        """Sends it every way that the alert names, and notes in the endpoint's events how that went."""
        each = notice.reading.alert
        with self.studio.database.session(write=False) as session:
            endpoint = session.get(Endpoint, notice.endpoint_id)
            workspace = session.get(Workspace, endpoint.workspace_id) if endpoint is not None else None
            if endpoint is None or workspace is None:
                return
            url = _webhook(self.studio, session, endpoint, each)
        body = message(notice, workspace.name, endpoint.name, self.studio.settings.reached_at)
        said = []
        if each.webhook:
            where = messages.host_of(url) if url else "its webhook"
            failed = self._tried(lambda: self._post(url, body))
            said.append(_outcome(each, where, failed))
        if each.mail:
            failed = self._tried(lambda: self._mail(each, body))
            said.append(_outcome(each, ", ".join(each.mail), failed))
        self._told(notice, said)

    def _post(self, url: str, body: Mapping[str, Any]) -> None:
        messages.post(url, body, allowed_hosts=alerts.allowed_hosts(self.studio))

    def _mail(self, each: Alert, body: Mapping[str, Any]) -> None:
        settings = self.studio.settings
        text = f"{body['text']}\n\n{body['link']}\n"
        messages.mail(settings.smtp_url, settings.smtp_from, each.mail, f"[atelier] {each.name}: {body['text']}", text)

    def _tried(self, send: Callable[[], None]) -> str:
        """What was wrong with the last try; empty when it arrived. Only silence is tried again."""
        failed = ""
        for pause in (0.0, *self._waits):
            time.sleep(pause)
            try:
                send()
            except Unavailable as cause:
                failed = cause.message
            except AtelierError as cause:
                return cause.message
            else:
                return ""
        return failed

    def _told(self, notice: Notice, said: Iterable[str]) -> None:
        with self.studio.scope(SYSTEM, write=True) as scope:
            endpoint = scope.session.get(Endpoint, notice.endpoint_id, with_for_update=True)
            if endpoint is None:
                return
            scope.workspace = scope.session.get(Workspace, endpoint.workspace_id)
            for line in said:
                emit(scope, "endpoint", endpoint.name, line)
            known = _read(scope.session.get(Fact, f"{_FACT}{endpoint.id}"))
            key = notice.reading.key
            if key in known and known[key].id == notice.excursion.id:
                known[key] = replace(known[key], told_at=str(iso(now())), claimed_until="")
                _keep(scope.session, endpoint.id, known)


def read(each: Alert, deployment: Deployment, window: Window) -> Reading:
    """What the alert says of a deployment; few requests say that it is well.

    A failure is of one generation: a new attempt that fails too is told again.
    """
    key = f"{each.name}/{deployment.id}"
    if each.on == "failed":
        is_bad = deployment.provisioning_state == ProvisioningState.Failed
        return Reading(each, deployment.name, f"{key}/{deployment.generation}", is_bad)
    value = 100 * window.error_rate if each.on == "error_rate" else window.p95
    if window.requests < ENOUGH or value is None or each.threshold is None:
        return Reading(each, deployment.name, key, is_bad=False)
    return Reading(each, deployment.name, key, value > each.threshold, round(value, 3))


def followed(known: Mapping[str, Excursion], found: Sequence[Reading], at: datetime) -> dict[str, Excursion]:
    """The excursions from now on: new ones, those that go on, and those that are not yet well for a window."""
    kept: dict[str, Excursion] = {}
    for reading in found:
        was = known.get(reading.key)
        if reading.is_bad:
            begun = Excursion(new_id(), str(iso(at)), reading.value)
            kept[reading.key] = replace(was, well_since="") if was is not None else begun
        elif was is not None and not was.well_since:
            kept[reading.key] = replace(was, well_since=str(iso(at)))
        elif was is not None and at - parse(was.well_since) < timedelta(seconds=reading.alert.window):
            kept[reading.key] = was
    return kept


def is_due(excursion: Excursion, at: datetime) -> bool:
    """Not told, and nobody is telling it."""
    is_claimed = bool(excursion.claimed_until) and parse(excursion.claimed_until) > at
    return not excursion.told_at and not is_claimed


def message(notice: Notice, workspace: str, endpoint: str, studio_url: str) -> dict[str, Any]:
    """The JSON that a webhook gets; `text` is what chats show. `id` is the same however often it is sent.

    `value` and `threshold` are percent of requests for `on` error_rate, milliseconds for p95, null for failed.
    """
    each, deployment = notice.reading.alert, notice.reading.deployment
    where = f"{workspace}/{endpoint}/{deployment}"
    value, limit = notice.excursion.value, f"{each.threshold or 0:g}"
    says = {
        "failed": f"Deployment {where} failed.",
        "error_rate": f"{value} % of the requests to {where} failed, and {limit} % may.",
        "p95": f"p95 of {where} was {value} ms, and {limit} ms may be.",
    }
    return {
        "schema": SCHEMA,
        "id": notice.excursion.id,
        "name": each.name,
        "on": each.on,
        "workspace": workspace,
        "endpoint": endpoint,
        "deployment": deployment,
        "value": value,
        "threshold": each.threshold if each.on != "failed" else None,
        "window": each.window if each.on != "failed" else None,
        "at": notice.excursion.since,
        "text": says[each.on],
        "link": f"{studio_url}/endpoint?{urlencode({'ws': workspace, 'name': endpoint})}",
    }


def _outcome(each: Alert, where: str, failed: str) -> str:
    if not failed:
        return f"Alert '{each.name}' was sent to {where}"
    return f"Alert '{each.name}' could not be sent to {where}: {failed.rstrip('.')}"


def _webhook(studio: Studio, session: Session, endpoint: Endpoint, each: Alert) -> str:
    """The whole URL, empty when there is none or it does not open."""
    if not each.webhook:
        return ""
    try:
        return secrets.of(studio, session, endpoint.workspace_id, endpoints.webhook_place(endpoint, each.name))
    except AtelierError as cause:
        log.warning("The webhook of alert '%s' cannot be read: %s", each.name, cause)
        return ""


def _deployments(session: Session, endpoint: Endpoint) -> Sequence[Deployment]:
    wanted = Deployment.endpoint_id == endpoint.id, Deployment.desired == "run"
    return session.exec(select(Deployment).where(*wanted).order_by(col(Deployment.folded))).all()


def _read(fact: Fact | None) -> dict[str, Excursion]:
    return {key: Excursion(**value) for key, value in fact.value.items()} if fact is not None else {}


def _keep(session: Session, endpoint_id: str, kept: Mapping[str, Excursion]) -> None:
    name = f"{_FACT}{endpoint_id}"
    session.merge(Fact(name=name, value={key: asdict(each) for key, each in kept.items()}, at=now()))
