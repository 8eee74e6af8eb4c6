"""Images: found by content, pulled, made from this host, or built in a container of their own.

A long file, because the recipe of a build is one: what is mounted, run, committed and labelled must fit together.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uv
from docker import errors, types
from filelock import FileLock, Timeout

from services.core.errors import EngineError, Unavailable
from services.engines import bases, pip_settings
from services.engines.containers import (
    INSTALL,
    BuildCanceled,
    BuildFailed,
    BuildWish,
    Image,
    ImageNotFound,
    Stored,
)
from services.engines.diagnosis import diagnose
from services.engines.docker import contexts
from services.engines.docker.connection import explained, translated
from services.engines.files import remove_tree
from services.engines.interpreters import choose, interpreters, left_out

BUILD_SH = Path(__file__).parents[2] / "runtime" / "build.sh"
# Lines of ours stand above the person's: the number would be wrong.
_WHERE = re.compile(r"(?<=error) line \d+")
# Of an image with packages: what it stands on, what its list held, and how many such layers it has.
ON, OPTIONS, HELD, DEPTH = "atelier.on", "atelier.options", "atelier.held", "atelier.depth"
MOST_LAYERS = 20
FREEZE = (
    "for python in python python3; do command -v $python >/dev/null 2>&1 || continue; "
    "$python -m pip freeze 2>/dev/null && exit; $python -c 'import importlib.metadata as m; "
    'print(*sorted({d.metadata["Name"] + "==" + d.version for d in m.distributions()}), sep="\\n")\' '
    "2>/dev/null && exit; done; exit 0"
)
# The builder paints what a step says to its standard error.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Images:
    """Of one engine and one install. Tags are content hashes: what is there is right."""

    def __init__(self, client: Any, home: Path, install: str, canceled: threading.Event | None = None) -> None:
        self.client, self.home, self.install = client, home, install
        self._canceled = canceled or threading.Event()

    def image(self, wish: BuildWish) -> Image | None:
        """The ready image of a wish."""
        if not _is_plain(wish):
            return self._found(self._tag(wish.hash))
        if not _is_ours(wish.base):
            return self._found(wish.base)
        with suppress(BuildFailed):  # a Python that is not here is told of by the build
            return self._found(_base_tag(_version(wish.base, wish.python)))
        return None

    def build(self, wish: BuildWish, log: Path) -> Image:
        """Makes it ready, appending to `log`; two at once of the same wish wait for each other."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with self._alone(wish.hash):
            if not wish.anew and (ready := self.image(wish)) is not None:
                return ready
            say = _sayer(log)
            if wish.context is not None:
                return self._from_context(wish, log, say)
            base = self._based(wish.base, wish.python, say)
            for note in (*wish.notes, *(_left_out(wish, base) if _is_ours(wish.base) else ())):
                say(note)
            return base if _is_plain(wish) else self._with_packages(wish, base, log)

    def bootstrap(self, say: Callable[[str], None] = lambda line: None) -> list[Image]:
        """A base image for every interpreter of this host; quick when they are there."""
        return [self._made_base(one.version, say) for one in interpreters()]

    def discard(self, reference: str) -> None:
        """Takes the image away; the engine refuses while a container stands on it."""
        if reference.startswith(self._tag("")):
            self._dropped(reference)

    def drop_builder(self, hash: str) -> None:
        """The container in which packages are installed, whoever started it."""
        self._removed(f"atelier-build-{self.install}-{hash[:32]}")

    def packages(self, image: Image) -> tuple[str, ...]:
        """Asked in a container without network; what an image without Python says is nothing."""
        host = self.client.create_host_config(
            cap_drop=["ALL"], security_opt=["no-new-privileges:true"], network_mode="none", pids_limit=64
        )
        name = f"atelier-freeze-{self.install}-{image.digest.rpartition(':')[2][:32]}"
        self._removed(name)
        made = self.client.create_container(
            image.reference,
            name=name,
            labels={INSTALL: self.install, "atelier.kind": "build"},
            entrypoint=["sh", "-c", FREEZE],
            command=[],
            host_config=host,
        )
        try:
            self.client.start(made["Id"])
            self.client.wait(made["Id"], timeout=120)
            said = self.client.logs(made["Id"], stderr=False).decode("utf-8", "replace")
            return tuple(line.strip() for line in said.splitlines() if line.strip())
        finally:
            self.client.remove_container(made["Id"], force=True)

    def stored(self) -> list[Stored]:
        """The bytes of the layers above what has another name: bases are shared and do not count."""
        used = {str(one["ImageID"]) for one in self.client.containers(all=True)}
        return [
            Stored(tag, str(one["Id"]), self._own_size(one["Id"]), one["Id"] in used)
            for one in self.client.images(name=self._tag("").rstrip(":"))
            for tag in one["RepoTags"] or []
        ]

    def _own_size(self, digest: str) -> int:
        size = 0
        for place, layer in enumerate(self.client.history(digest)):
            if place > 0 and layer["Tags"]:
                break
            size += int(layer["Size"])
        return size

    @translated
    def bases(self) -> list[str]:
        """References of the base images that are there."""
        found = self.client.images(filters={"label": bases.LABEL})
        return sorted(tag for one in found for tag in one["RepoTags"] or [] if tag.startswith(bases.REPOSITORY))

    def _based(self, reference: str, python: str | None, say: Callable[[str], None]) -> Image:
        if _is_ours(reference):
            return self._made_base(_version(reference, python), say)
        return self._found(reference) or self._pulled(reference, say)

    def _made_base(self, version: str, say: Callable[[str], None]) -> Image:
        one, note = choose(version, interpreters())
        if note:
            say(note)
        tag = _base_tag(one.version)
        with FileLock(self.home / f"base-{one.version}.lock"):
            if (ready := self._found(tag)) is not None:
                return ready
            with _scratch(self.home, f"base-{one.version}") as folder:
                path = folder / "base.tar"
                bases.write(one, path, say)
                repository, _, name = tag.rpartition(":")
                self.client.import_image(
                    str(path),
                    repository=repository,
                    tag=name,
                    changes=[*bases.changes(one), f"LABEL {bases.LABEL}={name}"],
                )
        return self._required(tag)

    def _pulled(self, reference: str, say: Callable[[str], None]) -> Image:
        say(f"Pulling {reference}")
        name, _, tag = reference.partition("@") if "@" in reference else reference.rpartition(":")
        if not name or "/" in tag:
            name, tag = reference, "latest"
        try:
            for line in self.client.pull(name, tag=tag, stream=True, decode=True):
                if "error" in line:
                    raise _refused(reference, str(line["error"]))
                if "id" not in line:
                    say(str(line.get("status", "")))
        except errors.APIError as cause:
            raise _refused(reference, explained(cause)) from cause
        return self._required(reference)

    def _with_packages(self, wish: BuildWish, base: Image, log: Path) -> Image:
        """A builder with nothing of its own to leak: no environment, no labels, binds only below a tmpfs."""
        parent, depth = self._parent(wish, base)
        if parent is not base:
            _sayer(log)(f"Adding to {parent.reference}, which holds a part of the list already")
        name = f"atelier-build-{self.install}-{wish.hash[:32]}"
        self._removed(name)
        there, before = self._found(self._tag(wish.hash)), _size(log)
        settings = pip_settings.for_containers(self.home)
        with _scratch(self.home, wish.hash[:32]) as folder:
            mounts = self._build_mounts(wish, folder, log, settings)
            self._checked()
            host = self.client.create_host_config(
                init=True,
                mounts=mounts,
                tmpfs={"/atelier": "size=2g,mode=1777,exec"},
                security_opt=["no-new-privileges:true"],
                pids_limit=1024,
            )
            try:
                made = self.client.create_container(
                    parent.reference,
                    entrypoint=[""],  # none, also not the base's: what stands here is committed too
                    command=["sh", "/atelier/build.sh"],
                    name=name,
                    user="0:0",
                    host_config=host,
                )
                self.client.start(made["Id"])
                self._checked()
                code = self.client.wait(made["Id"], timeout=3600)["StatusCode"]
                if code != 0:
                    raise _failed(log, before)
                packages = (folder / "packages").read_text(encoding="utf-8").split("\n")
                self.client.commit(
                    made["Id"],
                    *self._tag(wish.hash).split(":"),
                    changes=['CMD ["python3"]', *_labels(wish, base, depth)],
                )
            finally:
                self._removed(name)
        ready = self._replaced(wish, there)
        return Image(ready.reference, ready.digest, ready.size, tuple(line for line in packages if line))

    def _parent(self, wish: BuildWish, base: Image) -> tuple[Image, int]:
        """What to add to: the image here that holds most of the list and nothing else, and how many lie below it.

        One more package then takes a moment. A rebuild starts from the base, and so does one upon too many layers.
        """
        if wish.anew or not _is_ours(wish.base):
            return base, 0
        known: list[tuple[int, str, int]] = []
        for one in self.client.images(name=self._tag("").rstrip(":")):
            labels, tags = one["Labels"] or {}, one["RepoTags"] or []
            depth, held = int(labels.get(DEPTH, MOST_LAYERS)), set(labels.get(HELD, "").split(","))
            is_like = labels.get(ON) == base.digest and labels.get(OPTIONS) == _mark(*wish.pip_options)
            if tags and is_like and depth < MOST_LAYERS and held <= {_mark(each) for each in wish.requirements}:
                known.append((len(held), tags[0], depth))
        if not known:
            return base, 0
        _, tag, depth = max(known)
        found = self._found(tag)
        return (found, depth + 1) if found is not None else (base, 0)

    def _build_mounts(
        self, wish: BuildWish, folder: Path, log: Path, settings: pip_settings.PipSettings
    ) -> list[types.Mount]:
        cache = self.home / "workspaces" / (wish.workspace or "shared") / "cache" / "uv"
        cache.mkdir(parents=True, exist_ok=True)
        log.touch()
        written = {
            "requirements.txt": "\n".join([*wish.pip_options, *wish.requirements]) + "\n",
            "conda.yml": wish.conda or "",
            "settings": "".join(f"{key}='{_quoted(value)}'\n" for key, value in settings.environment.items()),
            "packages": "",
        }
        for name, text in written.items():
            (folder / name).write_text(text, encoding="utf-8")
        binds = [(folder / name, f"/atelier/{name}", name != "packages") for name in written]
        binds += [(BUILD_SH, "/atelier/build.sh", True), (Path(uv.find_uv_bin()), "/atelier/uv", True)]
        binds += [(cache, "/atelier/cache", False), (log, "/atelier/log", False)]
        binds += [(mount.source, mount.target, True) for mount in settings.mounts]
        return [
            types.Mount(type="bind", source=str(source.resolve()), target=target, read_only=ro)
            for source, target, ro in binds
        ]

    def _from_context(self, wish: BuildWish, log: Path, say: Callable[[str], None]) -> Image:
        assert wish.context is not None  # noqa: S101 (the caller asked)
        froms = {name: self._based(used, None, say).reference for name, used in wish.froms.items()}
        there = self._found(self._tag(wish.hash))
        settings = pip_settings.for_containers(self.home)
        before = _size(log)
        try:
            with contexts.packed(wish.context, wish.dockerfile, froms, settings, self.home) as archive:
                for line in self._built(wish, archive, settings):
                    if "error" in line:
                        say(str(line["error"]))
                        raise _failed(log, before)
                    if text := _COLOURS.sub("", str(line.get("stream", ""))).rstrip("\n"):
                        say(text)
        except errors.APIError as cause:
            if cause.response is None or cause.response.status_code != 400:
                raise
            say(_WHERE.sub("", explained(cause)))
            raise _failed(log, before) from cause
        made = self._replaced(wish, there)
        return Image(made.reference, made.digest, made.size, self.packages(made))

    def _built(self, wish: BuildWish, archive: Any, settings: pip_settings.PipSettings) -> Any:
        """The classic builder's lines: it is there on every engine."""
        return self.client.build(
            fileobj=archive,
            custom_context=True,
            dockerfile=contexts.DOCKERFILE,
            tag=self._tag(wish.hash),
            rm=True,
            forcerm=True,
            decode=True,
            buildargs=dict(contexts.build_arguments(settings)),
            labels={"atelier.environment": wish.hash},
        )

    def _tag(self, hash: str) -> str:
        return f"atelier/env-{self.install}:{hash[:32]}"

    def _found(self, reference: str) -> Image | None:
        try:
            facts = self.client.inspect_image(reference)
        except errors.NotFound:
            return None
        return Image(reference, str(facts["Id"]), int(facts["Size"]))

    def _required(self, reference: str) -> Image:
        found = self._found(reference)
        if found is None:
            raise EngineError(f"Image '{reference}' was made and is not there.")
        return found

    def _replaced(self, wish: BuildWish, there: Image | None) -> Image:
        """The new image under its tag; the one that had it takes no more room, unless a job runs on it."""
        made = self._required(self._tag(wish.hash))
        if there is not None and there.digest != made.digest:
            self._dropped(there.digest)
        return made

    def _dropped(self, reference: str) -> None:
        try:
            self.client.remove_image(reference)
        except errors.APIError as cause:
            if cause.response is None or cause.response.status_code not in {404, 409}:
                raise

    def _checked(self) -> None:
        if self._canceled.is_set():
            raise BuildCanceled

    @contextmanager
    def _alone(self, hash: str) -> Iterator[None]:
        """One build of a wish at a time, on this host; whoever waits can still be interrupted."""
        (self.home / "locks").mkdir(exist_ok=True)
        lock = FileLock(self.home / "locks" / f"build-{hash[:32]}.lock")
        while not lock.is_locked:
            self._checked()
            with suppress(Timeout):
                lock.acquire(timeout=1)
        try:
            yield
        finally:
            lock.release()

    def _removed(self, name: str) -> None:
        try:
            self.client.remove_container(name, force=True, v=True)
        except errors.NotFound:
            return


@contextmanager
def _scratch(home: Path, name: str) -> Iterator[Path]:
    """A folder for one build, found again by the next attempt: a killed one leaves nothing for good."""
    folder = home / "scratch" / name
    if folder.exists():
        remove_tree(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        remove_tree(folder)


def _base_tag(version: str) -> str:
    one, _ = choose(version, interpreters())
    return f"{bases.REPOSITORY}:{one.version}-{bases.key_of(one)}"


def _version(reference: str, python: str | None) -> str:
    """The Python that a wish names, else the one of `atelier/python:X.Y`."""
    return python or reference.rpartition(":")[2]


def _labels(wish: BuildWish, base: Image, depth: int) -> list[str]:
    held = ",".join(_mark(each) for each in wish.requirements)
    said = {"atelier.environment": wish.hash, ON: base.digest, OPTIONS: _mark(*wish.pip_options), HELD: held}
    return [f"LABEL {name}={value}" for name, value in {**said, DEPTH: str(depth)}.items()]


def _mark(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _left_out(wish: BuildWish, base: Image) -> list[str]:
    return left_out(wish.requirements, base.reference.rpartition(":")[2].partition("-")[0])


def _is_plain(wish: BuildWish) -> bool:
    return wish.context is None and not wish.requirements


def _is_ours(reference: str) -> bool:
    return reference.startswith(f"{bases.REPOSITORY}:")


def _quoted(value: str) -> str:
    return value.replace("'", "'\\''")


def _sayer(log: Path) -> Callable[[str], None]:
    def say(line: str) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write(line.rstrip("\n") + "\n")

    return say


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _failed(log: Path, before: int) -> BuildFailed:
    """Said of what this attempt wrote; earlier ones stand above it in the same file."""
    return BuildFailed(str(diagnose(log.read_bytes()[before:].decode("utf-8", "replace"))))


def _refused(reference: str, reason: str) -> EngineError:
    text = reason.casefold()
    if any(
        word in text for word in ("no such host", "dial tcp", "timeout", "connection refused", "toomanyrequests", "tls")
    ):
        return ImageNotFound(
            f"Image '{reference}' is not here and no registry answers: {reason[:300]}",
            hint="Map it to an image that is here in maps.yml, or load it with 'docker load'.",
        )
    if "503" in text or "unavailable" in text:
        return Unavailable(f"The registry of '{reference}' does not answer: {reason[:300]}")
    return ImageNotFound(f"Image '{reference}' could not be pulled: {reason[:300]}", hint="Check its name and tag.")
