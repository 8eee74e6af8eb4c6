"""Environments for plain processes: one virtual environment a definition, made with uv from this host's Pythons."""

import hashlib
import os
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import uv
from filelock import FileLock

from services.core.errors import EngineError
from services.engines import pip_settings
from services.engines.bases import REPOSITORY
from services.engines.containers import BuildCanceled, BuildFailed, BuildWish, Image, ImageNotFound
from services.engines.diagnosis import diagnose
from services.engines.interpreters import Interpreter, choose, interpreters, left_out

BUILD_SECONDS = 3600


class VirtualEnvironments:
    """Below `home/environments`, by content hash; what is there is whole."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._folder = home / "environments"
        self._lock = threading.Lock()
        self._running: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._abandoned: set[str] = set()

    def image(self, wish: BuildWish) -> Image | None:
        if self._is_possible(wish):
            with suppress(BuildFailed):  # a Python that is not here is told of by the build
                return self._found(self._place(wish, self._interpreter(wish)[0]))
        return None

    def build(self, wish: BuildWish, log: Path) -> Image:
        """Raises ImageNotFound for what only an engine of containers can run."""
        if not self._is_possible(wish):
            what = "A build context" if wish.context is not None else f"Image '{wish.base}'"
            raise ImageNotFound(
                f"{what} needs a container engine; jobs run as plain processes here.",
                hint="Start Docker, or map the image to python:3.11 in maps.yml.",
            )
        interpreter, note = self._interpreter(wish)
        place = self._place(wish, interpreter)
        self._folder.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / f"{place.name}.lock"):
            there = None if wish.anew else self._found(place)
            return there or self._made(wish, interpreter, place, log, note)

    def abandon(self, hash: str) -> None:
        """Ends the installer and all that it has started."""
        with self._lock:
            under_way = list(self._running.get(hash, ()))
            if under_way:
                self._abandoned.add(hash)
        for process in under_way:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def packages(self, place: Path) -> tuple[str, ...]:
        found = self._found(place) if place.parent == self._folder else None
        return tuple(found.packages) if found else ()

    def stored(self) -> list[Image]:
        """What was made for one definition, whole, with the bytes of its files."""
        made = (place for place in sorted(self._folder.glob("*")) if not place.name.startswith("python-"))
        return [found for place in made if (found := self._found(place)) is not None]

    def discard(self, place: Path) -> None:
        """What was made for one definition; a bare interpreter's environment is everybody's and stays."""
        if place.parent != self._folder or place.name.startswith("python-"):
            return
        shutil.rmtree(place, ignore_errors=True)
        for left in (place.with_name(f"{place.name}.txt"), place.with_name(f"{place.name}.lock")):
            left.unlink(missing_ok=True)

    def _made(self, wish: BuildWish, interpreter: Interpreter, place: Path, log: Path, note: str) -> Image:
        """Made in its place, because scripts name their interpreter; a marker says that it is whole."""
        shutil.rmtree(place, ignore_errors=True)
        requirements = self._folder / f"{place.name}.txt"
        requirements.write_text("\n".join([*wish.pip_options, *wish.requirements]) + "\n", encoding="utf-8")
        uv_ = uv.find_uv_bin()
        python = str(interpreter.prefix / "bin" / f"python{interpreter.version}")
        notes = [note, *wish.notes, *left_out(wish.requirements, interpreter.version)]
        with log.open("a", encoding="utf-8") as said:
            said.write("".join(f"{each}\n" for each in notes if each))
            before = said.tell()
        self._ran(wish, [uv_, "venv", "--no-project", "--seed", "--python", python, str(place)], log, before)
        if wish.requirements:
            command = [uv_, "pip", "install", "--compile-bytecode", "--python", str(place / "bin" / "python")]
            self._ran(wish, [*command, "-r", str(requirements)], log, before)
        frozen = subprocess.run(
            [uv_, "pip", "freeze", "--python", str(place / "bin" / "python")],
            capture_output=True,
            text=True,
            check=False,
        )
        (place / "packages").write_text(frozen.stdout, encoding="utf-8")
        (place / ".whole").write_text(str(_size(place)), encoding="ascii")
        found = self._found(place)
        if found is None:
            raise EngineError(f"Environment '{place.name}' was made and is not there.")
        return found

    def _ran(self, wish: BuildWish, command: list[str], log: Path, before: int) -> None:
        cache = self.home / "cache" / "uv"
        settings = pip_settings.for_containers(self.home)
        certificate = next((str(mount.source) for mount in settings.mounts if mount.target == pip_settings.CA), "")
        environment = {
            **{name: value.replace(pip_settings.CA, certificate) for name, value in settings.environment.items()},
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "UV_CACHE_DIR": str(cache),
            "UV_NO_PROGRESS": "1",
            "UV_INDEX_STRATEGY": "unsafe-best-match",
            "UV_PYTHON_DOWNLOADS": "never",
        }
        with log.open("ab") as said:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
        code = self._waited(wish.hash, process)
        if code != 0:
            raise BuildFailed(str(diagnose(log.read_bytes()[before:].decode("utf-8", "replace"))))

    def _waited(self, hash: str, process: "subprocess.Popen[bytes]") -> int:
        """Its exit code. Raises BuildCanceled when it was abandoned meanwhile."""
        with self._lock:
            self._running.setdefault(hash, []).append(process)
        try:
            code = process.wait(timeout=BUILD_SECONDS)
        except subprocess.TimeoutExpired as cause:
            raise BuildFailed(f"The installer did not end in {BUILD_SECONDS // 60} minutes.") from cause
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with self._lock:
                self._running[hash].remove(process)
                was_abandoned = hash in self._abandoned
                self._abandoned.discard(hash)
        if was_abandoned:
            raise BuildCanceled
        return code

    def _interpreter(self, wish: BuildWish) -> tuple[Interpreter, str]:
        return choose(wish.python or wish.base.rpartition(":")[2], interpreters())

    def _is_possible(self, wish: BuildWish) -> bool:
        return wish.context is None and wish.base.startswith(f"{REPOSITORY}:")

    def _place(self, wish: BuildWish, interpreter: Interpreter) -> Path:
        return self._folder / (wish.hash[:32] if wish.requirements else f"python-{interpreter.version}")

    def _found(self, place: Path) -> Image | None:
        if not (place / ".whole").is_file():
            return None
        text = (place / "packages").read_text(encoding="utf-8")
        digest = hashlib.sha256(f"{place.name}\n{text}".encode()).hexdigest()
        size = (place / ".whole").read_text(encoding="ascii")
        return Image(str(place), f"sha256:{digest}", int(size or 0), tuple(text.splitlines()))


def _size(folder: Path) -> int:
    return sum((Path(parent) / name).lstat().st_size for parent, _, names in os.walk(folder) for name in names)
