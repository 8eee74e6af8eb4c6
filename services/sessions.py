"""Who is there: browser sessions, bearer tokens and one-time links, all kept as hashes.

Nothing here asks for permission: these functions establish the principal that others ask about.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlmodel import Session as Transaction
from sqlmodel import col, select, update

from services.core.times import now
from services.store.rows import Principal, RoleAssignment, Session, Token
from services.studio import Studio

IDLE = timedelta(hours=12)
LIFETIME = timedelta(days=7)
SIGN_IN_LIFETIME = timedelta(minutes=30)
OWNER = "owner"


@dataclass(frozen=True)
class Bearer:
    """What a token says: who, and for a job's token the one job that it is bound to."""

    principal: Principal
    kind: str
    token_id: str
    workspace_id: str | None = None
    job_id: str | None = None


def ensure_owner(studio: Studio) -> Principal:
    """The local owner, with the role and the CLI token (`home/token`, 0600) made on the first start."""
    with studio.database.session(write=True) as session:
        owner = session.exec(select(Principal).where(Principal.name == OWNER)).one_or_none()
        if owner is None:
            owner = Principal(name=OWNER, display_name=_account_name())
            session.add(owner)
            session.add(RoleAssignment(principal_id=owner.id, role="Owner", scope="/"))
            session.flush()
        path = studio.folders.token
        if not path.exists() or _found(session, path.read_text().strip(), "api") is None:
            _write_private(path, _issue(session, owner.id, "api", description="This machine's command line"))
        session.expunge(owner)
        return owner


def issue_sign_in(studio: Studio, principal: Principal | None = None) -> str:
    """A one-time token for a sign-in link, good for half an hour."""
    who = principal or ensure_owner(studio)
    with studio.database.session(write=True) as session:
        return _issue(session, who.id, "sign-in", lifetime=SIGN_IN_LIFETIME)


def sign_in(studio: Studio, secret: str, *, address: str = "", agent: str = "") -> str | None:
    """Spends a one-time token; the new session's cookie, or None when the token is not good."""
    with studio.database.session(write=True) as session:
        token = _found(session, secret, "sign-in")
        if token is None:
            return None
        token.used_at = token.revoked_at = now()
        session.add(token)
        return _open(session, token.principal_id, address, agent)


def sign_in_by_token(studio: Studio, secret: str, *, address: str = "", agent: str = "") -> str | None:
    """The same with an API token, pasted on the sign-in page; the token stays good."""
    with studio.database.session(write=True) as session:
        token = _found(session, secret, "api")
        return None if token is None else _open(session, token.principal_id, address, agent)


def sid(cookie: str) -> str:
    """What may be shown to scripts and kept in a row: the hash, never the cookie."""
    return hashlib.sha256(cookie.encode()).hexdigest()


def alive(studio: Studio, session_id: str) -> Principal | None:
    """The principal of a session that is neither idle nor old nor revoked."""
    at = now()
    with studio.database.session(write=False) as session:
        row = session.get(Session, session_id)
        if row is None or row.expires_at <= at or row.seen_at + IDLE <= at:
            return None
        return _enabled(session, row.principal_id)


def touch(studio: Studio, session_id: str) -> None:
    """Notes that the session is in use; callers do so at most once a minute."""
    with studio.database.session(write=True) as session:
        session.exec(update(Session).where(col(Session.id) == session_id).values(seen_at=now()))


def sign_out(studio: Studio, session_id: str) -> None:
    with studio.database.session(write=True) as session:
        row = session.get(Session, session_id)
        if row is not None:
            session.delete(row)


def of_bearer(studio: Studio, secret: str) -> Bearer | None:
    """Whose token this is, or None when it is unknown, expired, revoked or for signing in only."""
    with studio.database.session(write=False) as session:
        token = _found(session, secret, "api", "job")
        principal = _enabled(session, token.principal_id) if token else None
        if token is None or principal is None:
            return None
        return Bearer(principal, token.kind, token.id, token.workspace_id, token.job_id)


def issue_job_token(session: Transaction, *, principal_id: str, workspace_id: str, job_id: str) -> str:
    """A token for one run, replacing earlier ones of that job (a new attempt gets a new one)."""
    revoke_job_tokens(session, job_id)
    return _issue(session, principal_id, "job", workspace_id=workspace_id, job_id=job_id)


def revoke_job_tokens(session: Transaction, job_id: str) -> None:
    """Ends with the run: replay afterwards is refused."""
    session.exec(
        update(Token).where(col(Token.job_id) == job_id, col(Token.revoked_at).is_(None)).values(revoked_at=now())
    )


def _issue(
    session: Transaction,
    principal_id: str,
    kind: str,
    *,
    lifetime: timedelta | None = None,
    workspace_id: str | None = None,
    job_id: str | None = None,
    description: str = "",
) -> str:
    token = Token(
        kind=kind,
        secret_hash="",
        principal_id=principal_id,
        workspace_id=workspace_id,
        job_id=job_id,
        description=description,
        expires_at=now() + lifetime if lifetime else None,
    )
    secret = f"atl_{token.id}_{secrets.token_urlsafe(32)}"
    token.secret_hash = sid(secret)
    session.add(token)
    return secret


def _found(session: Transaction, secret: str, *kinds: str) -> Token | None:
    parts = secret.split("_", 2)
    if len(parts) != 3 or parts[0] != "atl":
        return None
    token = session.get(Token, parts[1])
    if token is None or token.kind not in kinds or not hmac.compare_digest(token.secret_hash, sid(secret)):
        return None
    return token if _good(token, now()) else None


def _good(token: Token, at: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > at)


def _enabled(session: Transaction, principal_id: str) -> Principal | None:
    principal = session.get(Principal, principal_id)
    if principal is None or principal.disabled_at is not None:
        return None
    session.expunge(principal)
    return principal


def _open(session: Transaction, principal_id: str, address: str, agent: str) -> str:
    cookie = secrets.token_urlsafe(32)
    session.add(
        Session(
            id=sid(cookie),
            principal_id=principal_id,
            address=address[:64],
            agent=agent[:200],
            expires_at=now() + LIFETIME,
        )
    )
    return cookie


def _account_name() -> str:
    return os.environ.get("USER") or os.environ.get("LOGNAME") or "Owner"


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
    part.replace(path)
