"""Names are for people and checked by one rule; ids are opaque; generated names can be spoken."""

import re
import secrets
import unicodedata

from services.core.errors import Invalid

_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,254}\Z", re.ASCII)
_ASSET = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z", re.ASCII)
_WORKSPACE = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_-]{1,62}\Z", re.ASCII)
_HEX = re.compile(r"\A[0-9a-f]+\Z")
# Path segments the web process answers itself: a workspace of that name could not be linked to.
_RESERVED = frozenset({"health", "healthz", "readyz", "ready", "login", "static", "api", "auth", "default", "all"})

_ADJECTIVES = [
    "amber",
    "ample",
    "azure",
    "bold",
    "brave",
    "bright",
    "brisk",
    "calm",
    "careful",
    "clever",
    "cool",
    "coral",
    "crisp",
    "deep",
    "eager",
    "early",
    "fair",
    "fine",
    "fresh",
    "frosty",
    "gentle",
    "glad",
    "golden",
    "good",
    "grand",
    "green",
    "happy",
    "honest",
    "icy",
    "ivory",
    "jolly",
    "keen",
    "kind",
    "lemon",
    "light",
    "lively",
    "lucky",
    "mellow",
    "mighty",
    "modest",
    "neat",
    "nimble",
    "noble",
    "olive",
    "patient",
    "plain",
    "plucky",
    "polite",
    "proud",
    "quick",
    "quiet",
    "rapid",
    "ready",
    "royal",
    "sharp",
    "shiny",
    "silent",
    "silver",
    "sleepy",
    "smart",
    "soft",
    "solid",
    "steady",
    "strong",
    "sunny",
    "sweet",
    "swift",
    "tidy",
    "true",
    "upbeat",
    "vivid",
    "warm",
    "wise",
    "witty",
    "young",
]
_NOUNS = [
    "acorn",
    "anchor",
    "apple",
    "arch",
    "atlas",
    "badge",
    "bamboo",
    "basil",
    "beach",
    "bean",
    "bear",
    "bell",
    "berry",
    "birch",
    "bird",
    "boat",
    "book",
    "bottle",
    "branch",
    "bread",
    "bridge",
    "brush",
    "candle",
    "canvas",
    "carrot",
    "cedar",
    "cherry",
    "cloud",
    "clover",
    "coast",
    "comet",
    "corn",
    "crane",
    "crow",
    "curtain",
    "deer",
    "dove",
    "drum",
    "eagle",
    "easel",
    "fern",
    "field",
    "finch",
    "fire",
    "flute",
    "forest",
    "fox",
    "frame",
    "garden",
    "ginger",
    "glass",
    "grape",
    "hand",
    "harbor",
    "hat",
    "heart",
    "hill",
    "honey",
    "house",
    "iris",
    "island",
    "jacket",
    "jelly",
    "kettle",
    "key",
    "kite",
    "lake",
    "lamp",
    "leaf",
    "lemon",
    "lion",
    "loquat",
    "lute",
    "maple",
    "melon",
    "mint",
    "moon",
    "nail",
    "net",
    "oak",
    "ocean",
    "onion",
    "orange",
    "owl",
    "palm",
    "parcel",
    "pear",
    "pen",
    "pillow",
    "plum",
    "pond",
    "pot",
    "quince",
    "rain",
    "reed",
    "rice",
    "river",
    "roof",
    "root",
    "rose",
    "sail",
    "salt",
    "seed",
    "shell",
    "sky",
    "snow",
    "spoon",
    "spring",
    "square",
    "star",
    "station",
    "stone",
    "sun",
    "table",
    "tent",
    "thread",
    "tiger",
    "tree",
    "truck",
    "tulip",
    "turtle",
    "valley",
    "vase",
    "vine",
    "wall",
    "wave",
    "wheel",
    "wing",
    "wolf",
    "yam",
]


def checked(name: str, *, field: str = "name") -> str:
    """The name itself. Raises Invalid naming the rule."""
    if not _NAME.match(name):
        raise Invalid(
            f"{name[:80]!r} is not a valid name: 1–255 letters, digits, '-' and '_', starting with a letter or digit.",
            where=field,
        )
    return name


def checked_asset(name: str, *, field: str = "name") -> str:
    """An asset's name or version: as `checked`, and with dots (`sklearn-1.5`). Raises Invalid naming the rule."""
    if not _ASSET.match(name):
        raise Invalid(
            f"{name[:80]!r} is not a valid {field}: 1–255 letters, digits, '-', '_' and '.', "
            "starting with a letter or digit.",
            where=field,
        )
    return name


def checked_workspace(name: str) -> str:
    """Workspace names are 2–63 long, so that they fit in URLs, labels and MLflow's workspaces."""
    if not _WORKSPACE.match(name):
        raise Invalid(
            f"{name[:80]!r} is not a valid workspace name: 2–63 letters, digits, '-' and '_', "
            "starting with a letter or digit.",
            where="name",
        )
    if folded(name) in _RESERVED:
        raise Invalid(f"'{name}' is reserved. Choose another name.", where="name")
    return name


def folded(name: str) -> str:
    """What two colliding names have in common (case and Unicode form)."""
    return unicodedata.normalize("NFC", name).casefold()


def checked_display_name(text: str, *, field: str = "display_name") -> str:
    """Free text of at most 255 characters without control or direction-changing characters."""
    if len(text) > 255:
        raise Invalid(f"At most 255 characters; this has {len(text)}.", where=field)
    for char in text:
        if unicodedata.category(char) in {"Cc", "Cf", "Cs"} and char != "\u200d":
            raise Invalid(f"Character U+{ord(char):04X} is not allowed.", where=field)
    return text


def checked_experiment(name: str) -> str:
    """Free text that names one experiment in lists, addresses and MLflow."""
    if not name.strip() or len(name) > 255 or "/" in name:
        raise Invalid("An experiment's name has 1–255 characters and no '/'.", where="experiment_name")
    return checked_display_name(name, field="experiment_name")


def generated() -> str:
    """A fresh job name such as `brave_lemon_x3k9q2v7hd`."""
    tail = "".join(secrets.choice("abcdefghijkmnpqrstvwxyz23456789") for _ in range(10))
    return f"{secrets.choice(_ADJECTIVES)}_{secrets.choice(_NOUNS)}_{tail}"


def new_id() -> str:
    """An opaque id: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def is_hex(text: str) -> bool:
    return bool(_HEX.match(text))
