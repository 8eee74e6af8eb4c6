"""YAML as people write it: read strictly, with the line of every value at hand.

PyYAML's C scanner with a construction of our own: its pure-Python loader is a denial of service, and
its constructor forgets duplicate keys, lines and what was written (`1.10`, `no`, `22:22`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from services.core.errors import Invalid

LIMIT = 1 << 20
DEPTH = 64
ALIASES = 200
NODES = 200_000
Path_ = tuple[str | int, ...]

_CORE = "tag:yaml.org,2002:"
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_SCALARS = {_CORE + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "value")}


@dataclass(frozen=True)
class Source:
    """The value, and for every path in it the line it came from."""

    value: dict[str, Any]
    file: str
    text: str
    lines: Mapping[Path_, int] = field(repr=False, default_factory=dict)
    written: Mapping[Path_, str] = field(repr=False, default_factory=dict)

    def line(self, path: Sequence[str | int]) -> int | None:
        """Of the path or of its nearest known ancestor."""
        parts = tuple(path)
        while parts and parts not in self.lines:
            parts = parts[:-1]
        return self.lines.get(parts)

    def where(self, path: Sequence[str | int] = ()) -> str:
        """`file:line`."""
        line = self.line(path)
        return f"{self.file}:{line}" if line else self.file


def load_file(path: Path) -> Source:
    """Raises Invalid when the file cannot be read, and as `load`."""
    try:
        if path.is_dir():
            raise Invalid(f"'{path}' is a folder; name the YAML file in it.")
        return load(path.read_bytes(), file=str(path))
    except FileNotFoundError as cause:
        raise Invalid(f"File '{path}' was not found.") from cause
    except OSError as cause:
        raise Invalid(f"File '{path}' cannot be read: {cause.strerror}.") from cause


def load(text: str | bytes, *, file: str = "<yaml>") -> Source:
    """The mapping at the top level. Raises Invalid with line and column for anything else."""
    return _Reader(file).read(_decoded(text, file))


def dump(value: Any) -> str:
    """YAML for people: keys in their order, block style, long lines kept."""
    return str(
        yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096, default_flow_style=False)
    )


def scalar(text: str) -> Any:
    """What a value given on the command line means: YAML's core scalars, else the text itself."""
    return _resolved(text) if text else ""


class _Dumper(yaml.SafeDumper):
    pass


def _block_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not text.startswith((" ", "\n")) else None
    return dumper.represent_scalar(f"{_CORE}str", str(text), style=style)


_Dumper.add_representer(str, _block_text)


def _decoded(text: str | bytes, file: str) -> str:
    if len(text) > LIMIT:
        raise Invalid(f"The file is too large: {len(text)} bytes, at most {LIMIT} are read.", where=file)
    if isinstance(text, bytes):
        raw = text
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise Invalid("The file must be UTF-8; this one is UTF-16.", where=file)
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as cause:
            line = raw[: cause.start].count(b"\n") + 1
            raise Invalid(f"The file must be UTF-8; byte {cause.start} is not.", where=f"{file}:{line}") from cause
    for position, char in enumerate(text):
        if char == "\0" or (0xD800 <= ord(char) <= 0xDFFF):
            line = text.count("\n", 0, position) + 1
            raise Invalid(f"Invalid character U+{ord(char):04X}.", where=f"{file}:{line}")
    return text


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Path_, int] = {}
        self.written: dict[Path_, str] = {}
        self.nodes = 0
        self.open: list[yaml.Node] = []

    def read(self, text: str) -> Source:
        self._scan(text)
        loader = yaml.CSafeLoader(text)
        try:
            documents: list[yaml.Node] = []
            while loader.check_node():
                if (node := loader.get_node()) is None:
                    break
                if documents:
                    raise self._invalid("Expected one document, got two (a second '---').", node)
                documents.append(node)
        except yaml.MarkedYAMLError as cause:
            raise self._malformed(cause) from cause
        except yaml.YAMLError as cause:
            raise Invalid(f"This is not YAML: {cause}.", where=self.file) from cause
        finally:
            loader.dispose()
        if not documents:
            raise Invalid("Expected a mapping at top level, got an empty file.", where=self.file)
        value = self._value(documents[0], (), 0)
        if not isinstance(value, dict):
            raise self._invalid(f"Expected a mapping at top level, got {_kind(value)}.", documents[0])
        return Source(value, self.file, text, self.lines, self.written)

    def _scan(self, text: str) -> None:
        """Depth and aliases first, on the event stream: composing them is what costs."""
        depth = aliases = 0
        try:
            for event in yaml.parse(text, Loader=yaml.CSafeLoader):
                if isinstance(event, yaml.AliasEvent):
                    aliases += 1
                    if aliases > ALIASES:
                        raise self._invalid("Too many aliases.", event)
                elif isinstance(event, yaml.CollectionStartEvent):
                    depth += 1
                    if depth > DEPTH:
                        raise self._invalid(f"The file is too deep: more than {DEPTH} levels.", event)
                elif isinstance(event, yaml.CollectionEndEvent):
                    depth -= 1
        except yaml.MarkedYAMLError as cause:
            raise self._malformed(cause) from cause
        except yaml.YAMLError as cause:
            raise Invalid(f"This is not YAML: {cause}.", where=self.file) from cause

    def _value(self, node: yaml.Node, path: Path_, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > NODES or depth > DEPTH:
            raise self._invalid("Too many aliases: the file grows too large when they are followed.", node)
        if any(node is parent for parent in self.open):
            raise self._invalid("Recursive alias.", node)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self.open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                self._plain_tag(node, "seq")
                return [self._value(child, (*path, index), depth + 1) for index, child in enumerate(node.value)]
            return self._mapping(node, path, depth)
        finally:
            self.open.pop()

    def _mapping(self, node: yaml.Node, path: Path_, depth: int) -> dict[str, Any]:
        self._plain_tag(node, "map")
        found: dict[str, Any] = {}
        seen: dict[str, int] = {}
        merged: dict[str, Any] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._invalid("A field's name must be text.", key_node)
            key, line = key_node.value, key_node.start_mark.line + 1
            if key_node.tag == f"{_CORE}merge":
                merged |= self._merged(child, path, depth)
                continue
            if key in seen:
                raise self._invalid(f"Field '{key}' given twice (lines {seen[key]}, {line}).", key_node)
            seen[key] = line
            self.lines[(*path, key)] = line
            found[key] = self._value(child, (*path, key), depth + 1)
        return {**merged, **found}

    def _merged(self, node: yaml.Node, path: Path_, depth: int) -> dict[str, Any]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        together: dict[str, Any] = {}
        for part in reversed(parts):
            if not isinstance(part, yaml.MappingNode):
                raise self._invalid("Only mappings can be merged with '<<'.", part)
            together |= self._value(part, path, depth + 1)
        return together

    def _scalar(self, node: yaml.ScalarNode, path: Path_) -> Any:
        text = str(node.value)
        self.written[path] = text
        if any(0xD800 <= ord(char) <= 0xDFFF for char in text) or "\0" in text:
            raise self._invalid("Invalid Unicode: a lone surrogate or NUL.", node)
        if node.tag not in _SCALARS:
            raise self._invalid(f"Tag not allowed: {node.tag.removeprefix(_CORE)}.", node)
        is_quoted = node.style in {"'", '"', "|", ">"}
        return text if node.tag == f"{_CORE}str" or is_quoted else _resolved(text)

    def _plain_tag(self, node: yaml.Node, kind: str) -> None:
        if node.tag != f"{_CORE}{kind}":
            raise self._invalid(f"Tag not allowed: {node.tag.removeprefix(_CORE)}.", node)

    def _invalid(self, message: str, node: yaml.Node | yaml.Event) -> Invalid:
        return Invalid(message, where=f"{self.file}:{node.start_mark.line + 1 if node.start_mark else '?'}")

    def _malformed(self, cause: yaml.MarkedYAMLError) -> Invalid:
        mark = cause.problem_mark or cause.context_mark
        place = f"{self.file}:{mark.line + 1}" if mark else self.file
        problem = (cause.problem or "it cannot be read").rstrip(".")
        if "character that cannot start any token" in problem:
            problem = "a tab or another character that cannot stand here (indent with spaces)"
        column = f", column {mark.column + 1}" if mark else ""
        return Invalid(f"This is not YAML{column}: {problem}.", where=place)


def _resolved(text: str) -> Any:
    """YAML 1.2's core schema: null, booleans, decimal integers and floats; everything else is text.

    So `no`, `22:22`, `0777`, `2024-01-01` and `1_000` stay what was written.
    """
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    digits = text[1:] if text[:1] in "+-" else text
    if digits.isascii() and digits.isdigit():
        return int(text) if len(digits) <= 19 and (digits == "0" or digits[0] != "0") else text
    if digits[:1] in "0123456789." and digits.isascii() and not digits.endswith("_") and "_" not in digits:
        lowered = digits.lower()
        if lowered in {".inf", ".nan"}:
            return float(text.lower().replace(".", ""))
        if lowered.strip("0123456789.e+-") == "" and any(char.isdigit() for char in lowered):
            try:
                return float(text)
            except ValueError:
                return text
    return text


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case list():
            return "a list"
        case str():
            return "a text"
        case bool():
            return "true or false"
        case _:
            return "a number"
