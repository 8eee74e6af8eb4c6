"""Messages to people outside: a webhook or a mail, each sent once and within seconds, or an error that says why not."""

import asyncio
import smtplib
import ssl
from collections.abc import Collection, Mapping, Sequence
from email.message import EmailMessage
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import httpx
import orjson

from services.core.errors import EngineError, Invalid, Unavailable
from services.engines.downloads import checked_address

SECONDS = 5.0


def host_of(url: str) -> str:
    """What may be shown of a webhook: its path and query are what opens it. Raises Invalid for what is no such URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as cause:
        raise Invalid("The webhook is not an http(s) URL.") from cause
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise Invalid("The webhook is not an http(s) URL.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}" if port else host


def checked_webhook(url: str, allowed_hosts: Collection[str] = ()) -> str:
    """The address to connect to. Raises Invalid for a host inside of the network, Unavailable for one not known."""
    host_of(url)
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        return checked_address(parts.hostname or "", port, allowed_hosts)
    except Invalid as cause:
        raise Invalid(
            f"'{parts.hostname}' is inside of the network and is sent no messages.",
            hint="An admin can list it in ATELIER_ALLOWED_URL_HOSTS.",
        ) from cause
    except UnicodeError as cause:
        raise Invalid(f"'{parts.hostname}' is no name of a host.") from cause


def post(url: str, body: Mapping[str, Any], *, allowed_hosts: Collection[str] = (), seconds: float = SECONDS) -> None:
    """JSON to a webhook, at the very address that was checked; a redirect is no answer.

    Raises Invalid, Unavailable when nobody answers in time or it is busy (429, 5xx), EngineError when it refuses.
    Errors name the host only.
    """
    address, shown = checked_webhook(url, allowed_hosts), host_of(url)
    try:
        status = asyncio.run(_posted(url, address, orjson.dumps(body), seconds))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as cause:
        raise Unavailable(f"{shown} did not answer: {type(cause).__name__}.") from None  # the cause may hold the URL
    if status == 429 or status >= 500:
        raise Unavailable(f"{shown} answered {status}.")
    if not 200 <= status < 300:
        raise EngineError(f"{shown} answered {status}.")


async def _posted(url: str, address: str, body: bytes, seconds: float) -> int:
    """The status; nothing of the answer's body is read, and all of it together takes no longer than `seconds`."""
    host = urlsplit(url).hostname
    headers = {"Host": host_of(url), "User-Agent": "atelier", "Content-Type": "application/json"}
    where = httpx.URL(url).copy_with(host=address)
    async with (
        asyncio.timeout(seconds),
        httpx.AsyncClient(timeout=seconds, trust_env=address == host, follow_redirects=False) as client,
        client.stream("POST", where, content=body, headers=headers, extensions={"sni_hostname": host}) as answer,
    ):
        return answer.status_code


def mail(server: str, sender: str, to: Sequence[str], subject: str, text: str, *, seconds: float = SECONDS) -> None:
    """By `smtp://[user:password@]host[:port][?starttls]` or `smtps://…`. Raises Invalid, Unavailable, EngineError."""
    parts, port = _server(server)
    message = EmailMessage()
    message["From"] = " ".join((sender or _sender(parts.username, str(parts.hostname))).split())
    message["To"] = ", ".join(to)
    message["Subject"] = " ".join(subject.split())
    message.set_content(text)
    try:
        with _connected(parts.scheme, str(parts.hostname), port, seconds) as smtp:
            if "starttls" in parse_qs(parts.query, keep_blank_values=True):
                smtp.starttls(context=ssl.create_default_context())
            if parts.username:
                smtp.login(unquote(parts.username), unquote(parts.password or ""))
            smtp.send_message(message)
    except smtplib.SMTPResponseException as cause:
        kind = Unavailable if 400 <= cause.smtp_code < 500 else EngineError
        raise kind(f"{parts.hostname} refused the mail ({cause.smtp_code}).") from cause
    except smtplib.SMTPRecipientsRefused as cause:
        raise EngineError(f"{parts.hostname} refused the recipients.") from cause
    except (OSError, smtplib.SMTPException) as cause:
        raise Unavailable(f"{parts.hostname} did not take the mail: {type(cause).__name__}.") from cause


def _server(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise Invalid("ATELIER_SMTP_URL is not smtp://host:port or smtps://host:port.")
    return parts, port


def _connected(scheme: str, host: str, port: int | None, seconds: float) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=seconds, context=ssl.create_default_context())
    return smtplib.SMTP(host, port or 587, timeout=seconds)


def _sender(user: str | None, host: str) -> str:
    name = unquote(user or "")
    return name if "@" in name else f"atelier@{host}"
