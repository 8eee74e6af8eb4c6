"""The text of Dockerfiles: which images one names, and the same with other images in their place."""

import re
from collections.abc import Callable, Iterator, Mapping

from services.core.errors import Invalid

_FROM = re.compile(
    r"\A(?P<head>\s*FROM\s+(?:--platform=\S+\s+)?)(?P<image>\S+)(?P<tail>.*)\Z", re.IGNORECASE | re.DOTALL
)
_COPY_FROM = re.compile(r"(?P<head>\A\s*(?:COPY|ADD)\b.*?--from=)(?P<image>\S+)", re.IGNORECASE | re.DOTALL)
_ALIAS = re.compile(r"\s+AS\s+(?P<alias>\S+)", re.IGNORECASE)
_ARG = re.compile(r"\A\s*ARG\s+(?P<name>\w+)=(?P<value>\S+)", re.IGNORECASE)
_USED = re.compile(r"\$\{?(?P<name>\w+)(?::?-(?P<default>[^}]*))?\}?")


def images(dockerfile: str) -> list[str]:
    """The references that `FROM` and `COPY --from` name, without stages and `scratch`."""
    found: list[str] = []
    _rewritten(dockerfile, lambda image: found.append(image) or image)  # type: ignore[func-returns-value]
    return list(dict.fromkeys(found))


def rewritten(dockerfile: str, froms: Mapping[str, str]) -> str:
    """The same file with its images replaced."""
    return _rewritten(dockerfile, lambda image: froms.get(image, image))


def starts_a_stage(line: str) -> bool:
    """Whether files and variables of ours may follow: not where nothing is there yet."""
    return bool(_FROM.match(line)) and "scratch" not in line.split()


def _rewritten(dockerfile: str, use: Callable[[str], str]) -> str:
    stages: set[str] = set()
    arguments: dict[str, str] = {}
    lines = []
    for line in logical_lines(dockerfile):
        if argument := _ARG.match(line):
            arguments.setdefault(argument["name"], argument["value"].strip("\"'"))
        if found := _FROM.match(line):
            image = _USED.sub(lambda used: arguments.get(used["name"], used["default"] or ""), found["image"])
            if not image:
                raise Invalid(f"'{line.strip()[:120]}' names no image.", where="Dockerfile")
            if image.casefold() not in stages and image != "scratch":
                line = f"{found['head']}{use(image)}{found['tail']}"
            if alias := _ALIAS.search(found["tail"]):
                stages.add(alias["alias"].casefold())
        elif (
            (found := _COPY_FROM.match(line))
            and not found["image"].isdecimal()
            and found["image"].casefold() not in stages
        ):
            line = line.replace(f"--from={found['image']}", f"--from={use(found['image'])}", 1)
        lines.append(line)
    return "\n".join(lines) + "\n"


def logical_lines(text: str) -> Iterator[str]:
    """Lines with their continuations."""
    held = ""
    for line in text.splitlines():
        held += line
        if line.rstrip().endswith("\\") and not line.lstrip().startswith("#"):
            held += "\n"
            continue
        yield held
        held = ""
    if held:
        yield held
