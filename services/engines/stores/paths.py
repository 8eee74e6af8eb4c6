"""Paths that others wrote: the same for every store, and never out of its root, however they are written."""

from urllib.parse import unquote

from services.core.errors import Invalid

LONGEST = 1024  # bytes: the shortest limit among the stores, S3's
_DECODINGS = 5


def confined(path: str) -> str:
    """The path of a file below a root, tidied. Raises Invalid when it is none, or would be another to another reader.

    `%`, `#`, `?`, `;` and blanks are letters like any other; a percent sign that hides a slash, a `..` or a control
    character is refused, once or several times encoded, as somebody on the way may decode it.
    """
    tidy = folder_of(path)
    if not tidy or path.endswith("/"):
        raise _refused(path)
    return tidy


def folder_of(path: str) -> str:
    """The same for a folder, where the root is the empty one."""
    if path.startswith("/") or len(path.encode(errors="surrogatepass")) > LONGEST:
        raise _refused(path)
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not all(_is_plain(part) for part in parts):
        raise _refused(path)
    return "/".join(parts)


def is_tidy(path: str) -> bool:
    """Whether a path that a server told is one that it can be asked for again; a folder's may end in a slash."""
    try:
        return folder_of(path) == path.removesuffix("/") != ""
    except Invalid:
        return False


def _is_plain(part: str) -> bool:
    for _ in range(_DECODINGS):
        if part in {".", ".."} or "/" in part or not _is_readable(part):
            return False
        decoded = unquote(part, errors="surrogateescape")
        if decoded == part:
            return True
        part = decoded
    return False


def _is_readable(part: str) -> bool:
    """No backslash (a slash to some), control or half character: `%c0%af` is an old way to write a slash."""
    return not any(char == "\\" or char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in part)


def _refused(path: str) -> Invalid:
    shown = path[:200].encode("utf-8", "backslashreplace").decode()
    return Invalid(f"{shown!r} is not a path inside of a datastore.", where="path")
