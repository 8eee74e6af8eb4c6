"""What deployments are made of, as a card of theirs names it: the model and the environment."""

from app import context
from app.ui.text import Markup, plain, tag
from services import assets
from services.core.errors import AtelierError
from services.store.rows import Asset
from services.studio import Scope


def seen(scope: Scope, asset_id: str | None) -> Asset | None:
    """None for one that may not be seen, or is gone."""
    if asset_id is None:
        return None
    try:
        return assets.get_by_id(scope, asset_id)
    except AtelierError:
        return None


def link(screen: str, asset: Asset | None, own: str = "") -> Markup | None:
    """To its page; words for one that nobody named."""
    if asset is None:
        return None
    if asset.is_anonymous:
        return tag("span", own or "Written in the deployment", cls="at-muted")
    there = context.link(screen, name=asset.name, version=asset.version)
    return tag("a", plain(f"{asset.name}:{asset.version}", 160), href=there)
