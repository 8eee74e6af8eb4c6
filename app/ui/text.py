"""Hostile text made harmless: HTML built with escaped text only, and Markdown that stays plain."""

import html
import re
from collections.abc import Iterable

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~:$&^=])")
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_SAFE_LINK = re.compile(r"\A(?:/(?!/)|\?|#|https?://)")
_EMPTY = frozenset({"br", "hr", "img", "input", "wbr", "path", "rect", "circle", "line"})


class Markup(str):
    """HTML that is known to be safe; made by `tag`, `join` and `raw` only."""

    __slots__ = ()


def tag(name: str, *children: str | None, **attributes: str | bool | float | None) -> Markup:
    """An element. Plain strings become text; only `Markup` passes. `cls` is class, `data_x` is data-x.

    Links that leave http(s) and this site (`javascript:` and its kin) lose their address.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _EMPTY:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str | None], between: str = "") -> Markup:
    return Markup(_safe(between).join(_safe(part) for part in parts if part))


def raw(trusted: str) -> Markup:
    """Our own constant HTML; never anything that came from outside of the source."""
    return Markup(trusted)


def plain(text: object, most: int = 2000) -> str:
    """One piece of foreign text without invisible or direction-changing characters, of bounded length."""
    clean = _INVISIBLE.sub("\ufffd", str(text))
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def bare(line: str) -> str:
    """A line of a log without terminal escapes, as it looks after its last carriage return."""
    return _ESCAPES.sub("", line).rstrip("\r").rpartition("\r")[2]


def markdown(text: object) -> str:
    """Foreign text for labels, captions and toasts, which Streamlit reads as Markdown."""
    return _MARKDOWN.sub(r"\\\1", plain(text)).replace("\n", " ")


def size(count: float | None) -> str:
    """`1.4 MB`, in powers of 1000 as disks and browsers count."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def number(value: float | None) -> str:
    """Six significant digits, the way metrics are read."""
    if value is None:
        return ""
    return f"{value:.6g}"


def _safe(part: str | None) -> str:
    if part is None:
        return ""
    return part if isinstance(part, Markup) else html.escape(plain(part, 20_000))


def _attribute(key: str, value: str | bool | float | None) -> str:
    if value is None or value is False:
        return ""
    name = {"cls": "class"}.get(key, key.replace("_", "-"))
    if value is True:
        return f" {name}"
    if name in {"href", "src"} and not _SAFE_LINK.match(str(value)):
        return ""
    return f' {name}="{html.escape(str(value), quote=True)}"'
