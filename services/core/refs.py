"""References to assets, in all the forms that YAML files use, understood in one place."""

import re
from dataclasses import dataclass

from services.core.errors import Invalid

_LONG = re.compile(
    r"\A(?:azureml:/{0,2}|/)(?:registries/(?P<registry>[^/]+)"
    r"|(?:subscriptions/[^/]+/resourcegroups/[^/]+/(?:providers/[^/]+/)?workspaces/(?P<workspace>[^/]+)))"
    r"/(?P<kind>[a-z]+)/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+)|/labels/(?P<label>[^/]+))?\Z",
    re.ASCII | re.IGNORECASE,
)
_SHORT = re.compile(
    r"\A(?:azureml:)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,254})(?::(?P<version>[A-Za-z0-9._-]{1,255})|@(?P<label>[A-Za-z0-9_-]{1,255}))?\Z",
    re.ASCII,
)


@dataclass(frozen=True)
class Ref:
    """`name` with a version, a label, or neither (the latest); `registry` or `workspace` as the long form says."""

    name: str
    version: str | None = None
    label: str | None = None
    registry: str | None = None
    workspace: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}:{self.version}"
        return f"{self.name}@{self.label or 'latest'}"


def parse(text: str, *, field: str = "") -> Ref:
    """`azureml:name:version`, `azureml:name@label`, `azureml:name`, and the long ARM and registry forms.

    Raises Invalid for anything else.
    """
    found = _LONG.match(text.strip()) or _SHORT.match(text.strip())
    if found is None:
        raise Invalid(
            f"{text[:200]!r} is not a reference.",
            where=field or None,
            hint="Write azureml:<name>:<version> or azureml:<name>@latest.",
        )
    parts = found.groupdict()
    return Ref(parts["name"], parts.get("version"), parts.get("label"), parts.get("registry"), parts.get("workspace"))


def is_reference(text: str) -> bool:
    """Whether it names an asset, and is no path, URL or datastore's URI."""
    return text.startswith("azureml:") and bool(_LONG.match(text) or _SHORT.match(text))
