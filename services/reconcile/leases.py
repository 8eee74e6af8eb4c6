"""Who may act on a row: a lease with a token that names its holder, so that a dead one is noticed at once."""

import os
import secrets
import socket
from datetime import timedelta
from pathlib import Path

import psutil
from sqlmodel import Session, col, or_, update

from services.core.times import now
from services.store.rows import Build, Job
from services.store.serving import Deployment

LEASE = timedelta(seconds=30)
_LEASED = (Job, Build, Deployment)


def new_token() -> str:
    """`<host>|<pid>|<start of the process>|<random>`."""
    return f"{socket.gethostname()}|{os.getpid()}|{_born(os.getpid())}|{secrets.token_hex(4)}"


def claim(session: Session, row: Job | Build | Deployment, token: str) -> bool:
    """Takes or renews the lease on a row. False means that another live worker has it."""
    table, at = type(row), now()
    free = [col(table.lock_token).in_(["", token]), col(table.lock_expires_at) < at]
    if row.lock_token and is_gone(row.lock_token):
        free.append(col(table.lock_token) == row.lock_token)
    done = session.connection().execute(
        update(table).where(col(table.id) == row.id, or_(*free)).values(lock_token=token, lock_expires_at=at + LEASE)
    )
    if done.rowcount == 1:
        session.refresh(row)
    return done.rowcount == 1


def renew(session: Session, token: str) -> None:
    """Holds on to all that this worker has."""
    for table in _LEASED:
        session.connection().execute(
            update(table).where(col(table.lock_token) == token).values(lock_expires_at=now() + LEASE)
        )


def release(session: Session, token: str) -> None:
    """Gives everything back, so that the next worker need not wait."""
    for table in _LEASED:
        session.connection().execute(
            update(table).where(col(table.lock_token) == token).values(lock_token="", lock_expires_at=None)
        )


def is_gone(token: str) -> bool:
    """Whether the holder was a process of this machine that does not exist any more."""
    host, _, rest = token.partition("|")
    pid, _, rest = rest.partition("|")
    born = rest.partition("|")[0]
    if host != socket.gethostname() or not pid.isdecimal() or not born.isdecimal():
        return False
    try:
        return _born(int(pid)) != int(born)
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True
    except psutil.Error:
        return False


def _born(pid: int) -> int:
    """When a process started: in ticks since boot where /proc says so, because the clock may be set meanwhile."""
    if not Path("/proc/self/stat").exists():
        return int(psutil.Process(pid).create_time())
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19])
