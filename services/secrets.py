"""Secrets: values that are put in and never shown again; only what must use one gets it back.

Each value is sealed by the vault; the master key lies in the home and nowhere else. Rows of the table hold nothing
that opens without it: a copy of the database is worth nothing alone.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, text
from sqlmodel import Session, col, delete, select

from services import access
from services.core import failpoints
from services.core.errors import EngineError, Invalid, NotFound
from services.core.times import now
from services.engines.vault import KeyFile, Ring, Sealed
from services.events import emit
from services.store.rows import Fact, Secret
from services.studio import Scope, Studio

KEPT = timedelta(days=14)
"""How long a removed secret can be brought back."""
BATCH = 100
USER = "user/"
"""What names of secrets that people put in stand below; others are of datastores and endpoints."""
REFERENCE = re.compile(
    r"\$\{\{\s*(?:secrets\.|keyvault:https?://[^/\s}]+/secrets/)([A-Za-z][A-Za-z0-9_-]{0,126})(?:/[^\s}]*)?\s*\}\}",
    re.ASCII,
)
"""How a variable refers to one of them: in our words, or in the cloud's, whichever vault these name."""
_NAMED = re.compile(r"\A[A-Za-z][A-Za-z0-9_-]{0,126}\Z", re.ASCII)
_FACT = "master_key"
_LOCK = 0x61746C72  # of PostgreSQL: putting is shared, moving to another master key is alone


@dataclass(frozen=True)
class Opened:
    """How the master key fares: which version seals, how many secrets each has, and how many of all open."""

    path: str
    version: int
    secrets: dict[int, int]
    unopened: int


def put(scope: Scope, name: str, value: str) -> Secret:
    """A new version of `name`; what was there before is removed softly. Raises EngineError without the master key."""
    access.require(scope, "metadata/secrets/write")
    ring = _ring(scope.studio, scope.session)
    _purge(scope.session, col(Secret.deleted_at) < now() - KEPT)
    last = scope.session.exec(
        select(func.max(Secret.version)).where(Secret.workspace_id == scope.workspace_id, Secret.name == name)
    ).one()
    for row in _current(scope.session, scope.workspace_id, name):
        row.deleted_at = now()
        scope.session.add(row)
    made = Secret(
        workspace_id=scope.workspace_id,
        name=name,
        version=(last or 0) + 1,
        wrapped=b"",
        sealed=b"",
        created_by=scope.principal.name,
    )
    _set(made, ring.seal(value.encode(), _place(made)))
    scope.session.add(made)
    scope.session.flush()
    return made


def reveal(scope: Scope, name: str) -> str:
    """The value itself: for the worker, and for who may read secrets. Raises NotFound, EngineError."""
    access.require(scope, "connections/listsecrets/action")
    return of(scope.studio, scope.session, scope.workspace_id, name)


def keep(scope: Scope, name: str, value: str) -> Secret:
    """What a person puts in under a name of theirs, for variables to refer to. Raises Invalid for such a name."""
    access.require(scope, "metadata/secrets/write")
    if not _NAMED.match(name):
        raise Invalid(
            f"{name[:80]!r} is not a name for a secret: 1–127 letters, digits, '-' and '_', starting with a letter.",
            where="name",
        )
    row = put(scope, f"{USER}{name}", value)
    emit(scope, "secret", name, f"Secret '{name}' was put in")
    return row


def forget(scope: Scope, name: str) -> None:
    """Removes what a person has put in. Raises NotFound."""
    access.require(scope, "metadata/secrets/write")
    remove(scope, f"{USER}{name}")
    emit(scope, "secret", name, f"Secret '{name}' was removed")


def listed(scope: Scope, prefix: str = USER) -> list[Secret]:
    """Those below a prefix that open now, by name; a row holds nothing that opens without the master key."""
    access.require(scope, "metadata/secrets/read")
    return list(
        scope.session.exec(
            select(Secret)
            .where(Secret.workspace_id == scope.workspace_id, col(Secret.deleted_at).is_(None))
            .where(col(Secret.name).startswith(prefix, autoescape=True))
            .order_by(col(Secret.name))
        )
    )


def remove(scope: Scope, name: str) -> None:
    """Softly: it opens nothing from now on, and can be brought back for 14 days. Raises NotFound."""
    access.require(scope, "metadata/secrets/write")
    rows = _current(scope.session, scope.workspace_id, name)
    if not rows:
        raise _unknown(name)
    for row in rows:
        row.deleted_at = now()
        scope.session.add(row)


def recover(scope: Scope, name: str) -> Secret:
    """Brings the version back that was there last. Raises NotFound when none is kept."""
    access.require(scope, "metadata/secrets/write")
    row = scope.session.exec(
        select(Secret)
        .where(Secret.workspace_id == scope.workspace_id, Secret.name == name)
        .order_by(col(Secret.version).desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise _unknown(name)
    row.deleted_at = None
    scope.session.add(row)
    return row


def purge(scope: Scope, name: str) -> None:
    """All versions at once, for good."""
    access.require(scope, "metadata/secrets/write")
    _purge(scope.session, col(Secret.workspace_id) == scope.workspace_id, col(Secret.name) == name)


def of(studio: Studio, session: Session, workspace_id: str, name: str) -> str:
    """For the worker, and for what is done on behalf of somebody who may use a secret but not see it."""
    rows = _current(session, workspace_id, name)
    if not rows:
        raise _unknown(name)
    return _opened(_checked(studio, session, _file(studio).read()), rows[-1])


def checked(studio: Studio) -> Opened:
    """Opens every secret there is and says how that went; of the install, by who can read its files.

    Raises EngineError when the key file is missing though secrets are kept.
    """
    file = _file(studio)
    with studio.database.session(write=False) as session:
        rows = session.exec(select(Secret)).all()
        if not rows and not file.exists():
            return Opened(str(file.path), 0, {}, 0)
        ring = _checked(studio, session, file.read())
    counts = Counter(row.key_version for row in rows)
    return Opened(str(file.path), ring.current, dict(counts), sum(not _opens(ring, row) for row in rows))


def rotate(studio: Studio) -> int:
    """Wraps all secrets anew under a new master key; how many were moved. Values themselves are not touched.

    1. The new key is written beside the old one; both open from here on.
    2. Batch by batch every secret's own key is wrapped by the new one.
    3. The old key goes when no secret needs it.
    Killed before that it is finished by the next call, which makes no further key. Raises EngineError, and leaves the
    old key where it is, when a secret does not open.
    """
    file = _file(studio)
    with studio.database.session(write=True) as session:
        ring = _ring(studio, session)
    with file.alone():
        if len(ring.keys) == 1:
            ring = file.add()
        moved = 0
        while count := _moved(studio, ring):
            moved += count
        with studio.database.session(write=True) as session:
            _locked(session, alone=True)
            if _others(session, ring.current, limit=1):
                raise EngineError("A secret was sealed with the old master key just now.", hint="Try again.")
            _remember(session, {str(ring.current): ring.fingerprint(ring.current)})
        failpoints.reach("old_master_key_unneeded")
        file.drop_old()
    return moved


def _moved(studio: Studio, ring: Ring) -> int:
    with studio.database.session(write=True) as session:
        _locked(session, alone=True)
        _known(session, _checked(studio, session, ring))
        rows = _others(session, ring.current, limit=BATCH)
        for row in rows:
            _set(row, ring.rewrap(_found(row), _place(row)))
            session.add(row)
    failpoints.reach("secrets_rewrapped")
    return len(rows)


def _others(session: Session, version: int, *, limit: int) -> Sequence[Secret]:
    query = select(Secret).where(Secret.key_version != version).order_by(col(Secret.id)).limit(limit)
    return session.exec(query).all()


def _ring(studio: Studio, session: Session) -> Ring:
    """For sealing. The first key is made here, and never when secrets are kept that another one sealed."""
    _locked(session)
    file = _file(studio)
    if session.exec(select(Secret.id).limit(1)).first() is None:
        ring = file.read() if file.exists() else file.make()
        _remember(session, _fingerprints(ring))
        return ring
    return _known(session, _checked(studio, session, file.read()))


def _known(session: Session, ring: Ring) -> Ring:
    """Remembers what the keys look like, so that another's is told before anything is sealed with it."""
    fact = session.get(Fact, _FACT)
    _remember(session, {**(fact.value if fact is not None else {}), **_fingerprints(ring)})
    return ring


def _remember(session: Session, seen: dict[str, str]) -> None:
    fact = session.get(Fact, _FACT)
    if fact is None or fact.value != seen:
        session.merge(Fact(name=_FACT, value=seen, at=now()))


def _checked(studio: Studio, session: Session, ring: Ring) -> Ring:
    """Raises EngineError for a key file that is not this studio's."""
    fact = session.get(Fact, _FACT)
    known, seen = fact.value if fact is not None else {}, _fingerprints(ring)
    if known and (known.keys().isdisjoint(seen) or any(known.get(each, seen[each]) != seen[each] for each in seen)):
        raise EngineError(
            f"The master key '{_file(studio).path}' is not the one that this studio's secrets were sealed with.",
            hint="Put the right one back from where it is kept; nothing was changed.",
        )
    return ring


def _fingerprints(ring: Ring) -> dict[str, str]:
    return {str(version): ring.fingerprint(version) for version in ring.keys}


def _locked(session: Session, *, alone: bool = False) -> None:
    """Until the transaction ends. SQLite has one writer at a time anyway."""
    if session.get_bind().dialect.name == "postgresql":
        kind = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        session.connection().execute(text(f"SELECT {kind}(:key)"), {"key": _LOCK})


def _current(session: Session, workspace_id: str, name: str) -> list[Secret]:
    wanted = Secret.workspace_id == workspace_id, Secret.name == name, col(Secret.deleted_at).is_(None)
    return list(session.exec(select(Secret).where(*wanted).order_by(col(Secret.version))))


def _purge(session: Session, *wanted: object) -> None:
    session.connection().execute(delete(Secret).where(*wanted))  # type: ignore[arg-type]


def _opened(ring: Ring, row: Secret) -> str:
    return ring.open(_found(row), _place(row)).decode()


def _opens(ring: Ring, row: Secret) -> bool:
    try:
        _opened(ring, row)
    except EngineError:
        return False
    return True


def _found(row: Secret) -> Sealed:
    return Sealed(row.wrapped, row.sealed, row.key_version)


def _set(row: Secret, made: Sealed) -> None:
    row.wrapped, row.sealed, row.key_version = made.wrapped, made.sealed, made.key_version


def _place(row: Secret) -> bytes:
    """What a value belongs to; not its name, which only refers to it."""
    return f"{row.workspace_id}|{row.id}|{row.version}".encode()


def _file(studio: Studio) -> KeyFile:
    return KeyFile(studio.folders.home / "master.key")


def _unknown(name: str) -> NotFound:
    return NotFound(f"Secret '{name[:80]}' was not found.")
