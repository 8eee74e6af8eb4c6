"""An environment as people write it, and what a conda file means to pip."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from services.core.errors import Invalid
from services.specs.fields import Kept, Local, Spec, Texts, Version, Whole, image_reference
from services.specs.source import dump


class BuildContext(Spec):
    """A folder with a Dockerfile; `path` is relative to the YAML file."""

    path: Annotated[str, Local()] = ""
    dockerfile_path: str = "Dockerfile"


class InferenceRoute(Spec):
    """One path of a server, and the port that it is asked at."""

    path: str = Field(min_length=1, max_length=1000, pattern="^/")
    port: Whole = Field(ge=1, le=65535)


class InferenceConfig(Spec):
    """Where the server of an image is asked: whether it lives, whether it is ready, and for scores."""

    scoring_route: InferenceRoute
    liveness_route: InferenceRoute | None = None
    readiness_route: InferenceRoute | None = None


class Environment(Kept):
    """What jobs run in: exactly one of `image` (with or without `conda_file`) and `build`.

    `conda_file` is a path in the file and a mapping once it is sent.
    """

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: str | None = None
    version: Version | None = None
    image: Annotated[str, AfterValidator(image_reference)] | None = None
    conda_file: Annotated[str | dict[str, Any] | None, Local("file", "environment")] = None
    build: BuildContext | None = None
    description: str | None = None
    tags: Texts = {}
    properties: Texts = {}
    inference_config: InferenceConfig | None = None
    os_type: str | None = None
    label: str | None = None

    @model_validator(mode="after")
    def one_origin(self) -> "Environment":
        if self.build is None and self.image is None:
            raise ValueError("an environment needs an 'image' or a 'build'")
        if self.build is not None and (self.image is not None or self.conda_file is not None):
            raise ValueError("an environment has a 'build' or an 'image' (with a 'conda_file'), not both")
        return self


class CondaFile(Spec):
    """A conda file: `dependencies`, with pip's own in a nested list."""

    schema_: str | None = Field(default=None, alias="$schema", exclude=True)
    name: str | None = None
    channels: list[str] | None = None
    dependencies: list[str | dict[str, list[str]]]
    variables: Texts = {}
    prefix: str | None = None

    @field_validator("dependencies")
    @classmethod
    def understood(cls, entries: list[Any]) -> list[Any]:
        try:
            translate({"dependencies": entries})
        except Invalid as cause:
            raise ValueError(cause.message) from cause
        return entries


@dataclass(frozen=True)
class Requirements:
    """What pip installs in place of conda. `python` is major.minor, with `-nearest` where it is a range; `notes` say
    what was changed."""

    python: str | None = None
    packages: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


_CONDA = re.compile(r"\A(?:[A-Za-z0-9_.-]+::)?(?P<name>[A-Za-z0-9_.-]+)\s*(?P<rest>.*)\Z", re.ASCII)
_OLD = {"scikit-learn": (1, 5), "pandas": (2, 2, 2), "scipy": (1, 13), "tensorflow": (2, 18), "xgboost": (2,)}
_CONDA_ONLY = {"pip", "python", "conda", "setuptools", "wheel", "anaconda", "cudatoolkit", "libgcc-ng", "openssl"}
_RENAMED = {"pytorch": "torch", "matplotlib-base": "matplotlib", "msgpack-python": "msgpack", "pytables": "tables"}


def translate(conda: Mapping[str, Any]) -> Requirements:
    """A conda file for pip: `name=1.2` is `==1.2.*`, `name==v` and ranges pass, `python=` chooses the interpreter.

    conda picks a numpy that fits the build and pip does not: with an old pinned package and no numpy of a
    version of its own, `numpy<2` is added. Raises Invalid naming the entry that is not understood.
    """
    python: str | None = None
    packages: list[str] = []
    options: list[str] = []
    notes: list[str] = []
    dependencies = conda.get("dependencies") or []
    if not isinstance(dependencies, list):
        raise Invalid("'dependencies' must be a list.", where="conda_file.dependencies")
    for index, entry in enumerate(dependencies):
        where = f"conda_file.dependencies[{index}]"
        if isinstance(entry, Mapping):
            found = _nested(entry, where)
            packages += found[0]
            options += found[1]
            continue
        name, requirement = _conda_entry(str(entry), where)
        if name == "python":
            python = _minor(requirement, where)
        elif name in _CONDA_ONLY:
            continue
        else:
            packages.append(requirement)
    if _needs_old_numpy(packages):
        packages.append("numpy<2")
        notes.append("numpy<2 was added: a pinned package is older than numpy 2.")
    return Requirements(python, packages, options, notes)


def dump_conda(conda: Mapping[str, Any]) -> str:
    """The conda file's text, for images that have conda themselves."""
    return dump(dict(conda))


def _nested(entry: Mapping[str, Any], where: str) -> tuple[list[str], list[str]]:
    lines = entry.get("pip")
    if not isinstance(lines, list) or len(entry) != 1:
        raise Invalid("Only a list under 'pip' can be nested among the dependencies.", where=where)
    packages: list[str] = []
    options: list[str] = []
    for line in (str(raw).strip() for raw in lines):
        if line.startswith(("-r ", "--requirement")):
            raise Invalid("A requirements file cannot be named here; list its packages.", where=f"{where}.pip")
        if any(char in line for char in "\0\n\r"):
            raise Invalid("A requirement is one line.", where=f"{where}.pip")
        (options if line.startswith("-") else packages).append(line)
    return packages, options


def _conda_entry(text: str, where: str) -> tuple[str, str]:
    found = _CONDA.match(text.strip())
    if found is None:
        raise Invalid(
            f"{text[:80]!r} is not a conda dependency.", where=where, hint="Write name, name=1.2 or name>=1.2."
        )
    name = found["name"].casefold()
    rest = found["rest"].strip().strip("'\"")
    pip_name = _RENAMED.get(name, found["name"])
    if not rest:
        return name, pip_name
    if rest.startswith("=") and not rest.startswith("=="):
        version = rest[1:].split("=", 1)[0].strip()
        return name, f"{pip_name}=={version if version.endswith('*') else version + '.*'}"
    if rest.startswith("=="):
        return name, f"{pip_name}=={rest[2:].split('=', 1)[0].strip()}"
    if rest[0] in "<>!~":
        return name, pip_name + rest.replace(" ", "")
    if rest[0].isdigit():
        return name, f"{pip_name}=={rest.split()[0]}"
    raise Invalid(f"{text[:80]!r} is not a conda dependency.", where=where, hint="Write name, name=1.2 or name>=1.2.")


def _minor(requirement: str, where: str) -> str | None:
    """`3.8` when just that is wished; `3.8-nearest` for a range, because another one may be in it."""
    found = re.search(r"(?:==|~=)(\d+)\.(\d+)", requirement)
    if found is not None:
        return f"{found[1]}.{found[2]}"
    if requirement == "python" or re.search(r"[<>=]\s*3(?:\.\*)?\Z", requirement):
        return None
    least = re.search(r">=?(\d+)\.(\d+)", requirement)
    if least is not None:
        return f"{least[1]}.{least[2]}-nearest"
    most = re.search(r"<(=?)(\d+)\.(\d+)", requirement)
    if most is not None and int(most[3]) > 0:
        return f"{most[2]}.{int(most[3]) - (not most[1])}-nearest"
    raise Invalid(f"{requirement[:80]!r} does not say which Python.", where=where, hint="Write python=3.11.")


def _needs_old_numpy(packages: list[str]) -> bool:
    if any(re.match(r"numpy(?:\[[^\]]*\])?\s*[<>=!~;@]", package, re.IGNORECASE) for package in packages):
        return False
    return any(_is_old(package) for package in packages)


def _is_old(package: str) -> bool:
    """Whether a pin, or a range that ends below, lets only versions in that know numpy 1 alone."""
    found = re.match(r"\A([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?\s*(.*)", package)
    limit = _OLD.get(found[1].casefold().replace("_", "-")) if found else None
    if found is None or limit is None:
        return False
    for compared, version in re.findall(r"(==|~=|<=|<)\s*([0-9][0-9.]*)", found[2]):
        parts = tuple(int(part) for part in version.strip(".").split("."))
        if parts < limit or (compared == "<" and parts <= limit):
            return True
    return False
