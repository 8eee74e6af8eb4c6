"""The image map and the URL map: references written for the cloud, rewritten to what is here.

User rules stand above the shipped ones, the first match wins. Images match by shell pattern, with
`docker.io/library/` and `docker.io/` left out; URLs by prefix or exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.core import refs
from services.core.errors import Invalid
from services.specs.environments import Environment
from services.specs.fields import Spec
from services.specs.problems import checked
from services.specs.source import load, load_file

_SHIPPED = Path(__file__).parent / "maps.yml"
_CURATED = Path(__file__).parent / "curated"


class Rule(Spec):
    match: str
    use: str


class CuratedRule(Spec):
    """`match` is a pattern on the name; `use` a file of the curated folder or an image. `names` are those that
    the cloud has, where the pattern stands for more than one."""

    match: str
    use: str
    names: list[str] = []


@dataclass(frozen=True)
class Curated:
    """One of the cloud's curated environments and its equivalent here; `is_shipped`: not the user's own rule."""

    name: str
    definition: Environment
    is_shipped: bool

    @property
    def references(self) -> tuple[str, ...]:
        """As YAML in the wild names it."""
        return (
            f"azureml:AzureML-{self.name}@latest",
            f"azureml://registries/azureml/environments/{self.name}/labels/latest",
        )


class Rules(Spec):
    """The file: `images`, `urls` and `environments`, each a list of {match, use}."""

    images: list[Rule] = []
    urls: list[Rule] = []
    environments: list[CuratedRule] = []


@dataclass(frozen=True)
class Maps:
    """The user's rules, then ours."""

    rules: Sequence[Rules]

    @classmethod
    def load(cls, user: str | None = None, *, file: str = "maps.yml") -> "Maps":
        """Raises Invalid with the line when the user's file is not right."""
        own = [] if not user or not user.strip() else [_read(user, file)]
        return cls((*own, _shipped()))

    def image(self, reference: str) -> str:
        """The image to use; the reference itself where no rule matches."""
        plain = _plain(reference)
        for rules in self.rules:
            for rule in rules.images:
                if any(fnmatchcase(name, _plain(rule.match)) for name in (plain, plain.split("@")[0])):
                    return rule.use
        return reference

    def url(self, uri: str) -> str:
        """Where the data lies: what follows a matched prefix is added to what it maps to."""
        for rules in self.rules:
            for rule in rules.urls:
                if uri == rule.match:
                    return rule.use
                prefix = rule.match if rule.match.endswith("/") else rule.match + "/"
                if uri.startswith(prefix):
                    return rule.use.rstrip("/") + "/" + uri.removeprefix(prefix)
        return uri

    def curated(self, reference: str) -> Environment | None:
        """The local equivalent of one of the cloud's curated environments, by name, whatever the version."""
        try:
            name = refs.parse(reference).name
        except Invalid:
            return None
        folded = name.casefold().removeprefix("azureml-")
        for rules in self.rules:
            for rule in rules.environments:
                if fnmatchcase(folded, rule.match.casefold().removeprefix("azureml-")):
                    return _definition(rule.use)
        return None

    def all_curated(self) -> list[Curated]:
        """Every known name, once, by name; a user's pattern stands for itself."""
        found: dict[str, Curated] = {}
        for rules in self.rules:
            for rule in rules.environments:
                is_shipped = rules is self.rules[-1]
                for name in rule.names or ([] if is_shipped and "*" in rule.match else [rule.match]):
                    short = name.removeprefix("AzureML-")
                    found.setdefault(short.casefold(), Curated(short, _definition(rule.use), is_shipped))
        return sorted(found.values(), key=lambda each: each.name)


def _plain(reference: str) -> str:
    for prefix in ("docker.io/library/", "index.docker.io/library/", "docker.io/", "library/"):
        if reference.startswith(prefix):
            return reference.removeprefix(prefix)
    return reference


def _read(text: str, file: str) -> Rules:
    source = load(text, file=file)
    return checked(Rules, source.value, source)


@lru_cache(maxsize=1)
def _shipped() -> Rules:
    return _read(_SHIPPED.read_text(encoding="utf-8"), _SHIPPED.name)


def _definition(use: str) -> Environment:
    path = _CURATED / f"{use}.yml"
    if use.isascii() and use.replace("-", "").replace(".", "").isalnum() and path.is_file():
        value: dict[str, Any] = dict(load_file(path).value)
        return checked(Environment, value)
    return checked(Environment, {"image": use})
