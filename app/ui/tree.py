"""A tree of files as links; folders fold."""

from collections.abc import Callable, Sequence

from app.ui import parts
from app.ui.text import Markup, join, plain, size, tag
from services.engines.files import File

MOST = 2000


def drawn(
    files: Sequence[File], address: Callable[[str], str], chosen: str, *, opened: frozenset[str] = frozenset()
) -> Markup:
    """Folders first, by name; the chosen file's folders and those in `opened` are unfolded."""
    root: dict[str, object] = {}
    for file in files[:MOST]:
        *folders, name = file.path.split("/")
        here = root
        for folder in folders:
            here = here.setdefault(folder, {})  # type: ignore[assignment]
        here[name] = file
    rest = tag("p", f"{len(files) - MOST} more files are not shown.", cls="at-none") if len(files) > MOST else None
    return tag("div", _level(root, "", address, chosen, opened), rest, cls="at-tree")


def _level(
    level: dict[str, object], prefix: str, address: Callable[[str], str], chosen: str, opened: frozenset[str]
) -> Markup:
    folders = sorted(name for name, inner in level.items() if isinstance(inner, dict))
    drawn_ = []
    for name in folders:
        path = f"{prefix}{name}/"
        inner = _level(level[name], path, address, chosen, opened)  # type: ignore[arg-type]
        is_open = chosen.startswith(path) or name in opened or len(level) == 1
        head = tag("summary", parts.icon("chevron_right"), parts.icon("folder"), tag("span", plain(name, 120)))
        drawn_.append(tag("details", head, tag("div", inner), open=is_open))
    for name in sorted(name for name, inner in level.items() if isinstance(inner, File)):
        file = level[name]
        assert isinstance(file, File)  # noqa: S101 (sorted out the line above)
        current = "true" if file.path == chosen else None
        drawn_.append(
            tag(
                "a",
                parts.icon("draft"),
                tag("span", plain(name, 120)),
                tag("small", size(file.size)),
                href=address(file.path),
                aria_current=current,
                title=plain(file.path, 300),
            )
        )
    return join(drawn_)
