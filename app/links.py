"""Signed links: one file for ten minutes, without signing in; the permission is asked for again when it is used."""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from services.core.errors import Denied, NotFound
from services.core.times import iso
from services.store.rows import Principal
from services.studio import Studio

ADDRESS = "/files/signed"
SECONDS = 600


def signed(
    studio: Studio, principal: Principal, workspace: str, job: str, path: str, *, asset: str = ""
) -> tuple[str, str]:
    """The address, and until when it works; the file is of a job, or of the asset with that id."""
    expires = int(time.time()) + SECONDS
    fields = {"ws": workspace, "path": path, "user": principal.id, "expires": str(expires)}
    fields |= {"asset": asset} if asset else {"job": job}
    until = iso(datetime.fromtimestamp(expires, UTC)) or ""
    return f"{ADDRESS}?{urlencode({**fields, 'signature': _signature(studio, fields)})}", until


def checked(studio: Studio, fields: Mapping[str, str]) -> Principal:
    """Whose link this is. Raises Denied when it is not ours, was changed or is too old."""
    of = "asset" if "asset" in fields else "job"
    said = {name: fields.get(name, "") for name in ("ws", of, "path", "user", "expires")}
    if not hmac.compare_digest(_signature(studio, said), fields.get("signature", "")):
        raise Denied("This link is not valid.")
    if not said["expires"].isdecimal() or int(said["expires"]) < time.time():
        raise Denied("This link has expired.", hint="Ask for a new one.")
    with studio.database.session(write=False) as session:
        principal = session.get(Principal, said["user"])
        if principal is None or principal.disabled_at is not None:
            raise NotFound("This link is not valid any more.")
        session.expunge(principal)
    return principal


def _signature(studio: Studio, fields: Mapping[str, str]) -> str:
    text = "\0".join(["GET", ADDRESS, *(f"{name}={fields[name]}" for name in sorted(fields))])
    return hmac.new(_key(studio), text.encode(), hashlib.sha256).hexdigest()


def _key(studio: Studio) -> bytes:
    """Made once for the home, readable by its owner only."""
    path = studio.folders.home / "link.key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        part = path.with_name(f"link.{secrets.token_hex(4)}.part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(part, path)
        except FileExistsError:
            pass
        part.unlink()
        return path.read_bytes()
