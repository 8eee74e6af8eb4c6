"""Names that the Tab key completes: asked from the studio, and nothing at all when it does not answer."""

from collections.abc import Callable, Sequence

from app.cli import common
from app.cli.client import Client, in_workspace
from services.core.errors import AtelierError

MOST = 50


def jobs(incomplete: str) -> list[str]:
    """The latest ones."""
    params = {"search": incomplete, "limit": MOST}
    return _names(incomplete, lambda: Client().all(in_workspace("/jobs"), params=params, most=MOST))


def workspaces(incomplete: str) -> list[str]:
    return _names(incomplete, lambda: Client().all("/workspaces"))


def of(folder: str) -> Callable[[str], list[str]]:
    """The names of a kind of asset, by where REST has them."""

    def names(incomplete: str) -> list[str]:
        params = {"search": incomplete, "limit": MOST}
        return _names(incomplete, lambda: Client().all(in_workspace(f"/{folder}"), params=params, most=MOST))

    return names


def _names(incomplete: str, ask: Callable[[], Sequence[dict[str, str]]]) -> list[str]:
    common.chosen.forget()
    try:
        return [row["name"] for row in ask() if row["name"].startswith(incomplete)]
    except AtelierError:
        return []
