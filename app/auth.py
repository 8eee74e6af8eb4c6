"""The sign-in page: a one-time link or the command line's token, and nothing else; own HTML, no script."""

import html
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.ui.nav import SCREENS
from services import sessions
from services.studio import Studio

COOKIE = "atelier_session"
PAGE = (Path(__file__).parent / "static" / "sign-in.html").read_text(encoding="utf-8")
LARGEST = 8 << 10
router = APIRouter(prefix="/auth", include_in_schema=False)


@router.get("/sign-in")
def page(request: Request, next: str = "/", token: str = "", said: str = "") -> Response:
    """With a token in the address the button alone is left to press: a link that is only looked at stays good."""
    text = {"no": "This link or token is not valid any more.", "out": "You are signed out."}.get(said, "")
    return _shown(token=token, target=safe_next(next), text=text, is_error=said == "no")


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Spends a one-time token, or takes the command line's; then on to where the person wanted to go."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            return _shown(token="", target="/", text="That is too long to be a token.", is_error=True, status=413)
    fields = parse_qs(body.decode("utf-8", "replace"))
    secret = (fields.get("token") or [""])[0].strip()
    target = safe_next((fields.get("next") or ["/"])[0])
    studio: Studio = request.app.state.studio
    address, agent = request.client.host if request.client else "", request.headers.get("user-agent", "")
    cookie = await anyio.to_thread.run_sync(_opened, studio, secret, address, agent)
    if cookie is None:
        text = "This link or token is not valid any more."
        return _shown(token="", target=target, text=text, is_error=True, status=401)
    answer = RedirectResponse(target, status_code=303)
    secure = request.url.scheme == "https" or studio.settings.behind_proxy
    lifetime = int(sessions.LIFETIME.total_seconds())
    answer.set_cookie(COOKIE, cookie, max_age=lifetime, httponly=True, samesite="lax", secure=secure, path="/")
    return answer


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    sid = request.scope.get("atelier.sid")
    if sid:
        sessions.sign_out(request.app.state.studio, str(sid))
    answer = RedirectResponse("/auth/sign-in?said=out", status_code=303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


def safe_next(target: str) -> str:
    """A page of ours, by a relative address; the home page for anything else."""
    try:
        parts = urlsplit(target)
    except ValueError:  # half an IPv6 address
        return "/"
    is_plain = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    known = {"/", *(f"/{name}" for name in SCREENS)}
    return target if is_plain and parts.path in known and not any(ord(char) < 32 for char in target) else "/"


def sign_in_address(target: str) -> str:
    return f"/auth/sign-in?next={quote(safe_next(target), safe='')}"


def _opened(studio: Studio, secret: str, address: str, agent: str) -> str | None:
    return sessions.sign_in(studio, secret, address=address, agent=agent) or sessions.sign_in_by_token(
        studio, secret, address=address, agent=agent
    )


def _shown(*, token: str, target: str, text: str, is_error: bool, status: int = 200) -> HTMLResponse:
    said = f'<p class="{"bad" if is_error else "good"}" role="status">{html.escape(text)}</p>' if text else ""
    values = {"token": html.escape(token), "next": html.escape(target), "said": said}
    page_ = PAGE
    for name, value in values.items():
        page_ = page_.replace("{{" + name + "}}", value)
    page_ = page_.replace("{{kind}}", "hidden" if token else "password").replace("{{hint}}", "hidden" if token else "")
    return HTMLResponse(page_, status_code=status, headers={"Cache-Control": "no-store"})
