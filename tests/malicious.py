"""Models that attack whoever loads them, and a process that takes them through the studio while an audit hook listens.

Run as a program with a home and a folder for canaries: an audit hook cannot be taken away again. It prints, as JSON,
what was executed, unpickled or opened that should not have been.
"""

import gzip
import io
import json
import marshal
import os
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXECUTED = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "ctypes.dlopen")
SECRET = "canary-that-nobody-reads"


class Evil:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def corpus(marks: Path) -> dict[str, dict[str, bytes]]:
    """Thirty-odd model folders by name."""

    def evil(name: str, protocol: int = 4) -> bytes:
        return pickle.dumps(Evil(marks / name), protocol)

    touch = f"import os; os.system('touch {marks / 'code'}')\n".encode()
    code = marshal.dumps(compile(touch, "lambda", "exec"))
    found: dict[str, dict[str, bytes]] = {
        f"pickle-{protocol}": {"model.pkl": evil(f"pickle-{protocol}", protocol)} for protocol in range(6)
    }
    found |= {
        "joblib": {"model.joblib": evil("joblib")},
        "joblib-zlib": {"model.joblib": zlib.compress(evil("joblib-zlib"))},
        "joblib-gzip": {"model.joblib": gzip.compress(evil("joblib-gzip"))},
        "torch-zip": {"model.pt": zipped({"archive/data.pkl": evil("torch-zip"), "archive/version": b"3"})},
        "torch-old": {"model.pth": pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + evil("old", 2)},
        "torch-bin": {"pytorch_model.bin": evil("torch-bin"), "config.json": b"{}"},
        "lightning": {"last.ckpt": zipped({"archive/data.pkl": evil("lightning")})},
        "numpy": {"weights.npy": b"\x93NUMPY\x01\x00\x46\x00{'descr': '|O', 'fortran_order': False, "
                  b"'shape': (1,), }   \n" + evil("numpy")},
        "numpy-zip": {"weights.npz": zipped({"a.npy": evil("numpy-zip")})},
        "keras-h5": {"model.h5": b"\x89HDF\r\n\x1a\n" + b"Lambda" + code},
        "keras-zip": {"model.keras": zipped({"config.json": json.dumps({"class_name": "Lambda"}).encode() + code})},
        "tensorflow": {"saved_model.pb": b"\x08\x01\x12" + os.urandom(64), "keras_metadata.pb": code},
        "gguf": {"model.gguf": b"GGUF\x03\x00\x00\x00" + b"\xff" * 64},
        "onnx-up": {"model.onnx": onnx("../../../../canary")},
        "onnx-absolute": {"model.onnx": onnx(str(marks / "canary"))},
        "onnx-fields": {"model.onnx": b"\x08\x01" * 500_000},
        "onnx-lengths": {"model.onnx": b"\x3a\xff\xff\xff\xff\x7f"},
        "onnx-depth": {"model.onnx": nested(400)},
        "safetensors-long": {"model.safetensors": struct.pack("<Q", 1 << 62) + b"{}"},
        "safetensors-deep": {"model.safetensors": framed(b"[" * 200_000)},
        "safetensors-odd": {"model.safetensors": framed(b'{"a": {"dtype": "F32", "shape": ["x"]}, "a": 1}')},
        "safetensors-big": {"model.safetensors": framed(
            json.dumps({"a": {"dtype": "F32", "shape": [10**18] * 6}}).encode())},
        "mlflow-loader": {"MLmodel": b"flavors: {python_function: {loader_module: os, code: ../../..}}\n",
                          "code.py": touch},
        "mlflow-pickle": {"MLmodel": b"flavors: {python_function: {loader_module: mlflow.pyfunc.model, "
                          b"python_model: python_model.pkl}}\n", "python_model.pkl": evil("cloudpickle")},
        "mlflow-yaml": {"MLmodel": f"flavors: !!python/object/apply:os.system ['touch {marks / 'yaml'}']\n".encode()},
        "mlflow-alias": {"MLmodel": laughs()},
        "mlflow-large": {"MLmodel": b"flavors: {}\n#" + b"x" * (3 << 20)},
        "mlflow-deep": {"MLmodel": b"flavors: " + b"[" * 20_000},
        "mlflow-signature": {"MLmodel": b"signature: {inputs: &a [*a]}\nflavors: {x: {}}\n"},
        "mlflow-bytes": {"MLmodel": b"\xff\xfe\x00\x00flavors"},
        "python-files": dict.fromkeys(("__init__.py", "sitecustomize.py", "conftest.py", "model.py", "os.py"), touch),
        "triton": {"evil/config.pbtxt": b'backend: "python"', "evil/1/model.py": touch},
        "pth-file": {"evil.pth": touch, "MLmodel": b"flavors: {sklearn: {pickled_model: evil.pth}}\n"},
    }  # fmt: skip
    return found


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def framed(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes."""
    length, rest = bytearray(), len(content)
    while True:
        length.append((rest & 0x7F) | (0x80 if rest > 0x7F else 0))
        rest >>= 7
        if not rest:
            return bytes([number << 3 | 2]) + bytes(length) + content


def onnx(location: str) -> bytes:
    """A model with one weight that lies in another file."""
    entry = field(1, b"location") + field(2, location.encode())
    tensor = field(8, b"w") + field(13, entry) + b"\x70\x01"
    shape = field(1, b"\x08\x04")
    port = field(1, b"x") + field(2, field(1, b"\x08\x01" + field(2, shape)))
    graph = field(1, field(4, b"Add")) + field(2, b"g") + field(5, tensor) + field(11, port) + field(12, port)
    return b"\x08\x08" + field(2, b"evil") + field(7, graph) + field(8, b"\x10\x11")


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = field(7, content)
    return content


def laughs() -> bytes:
    """A billion of them, were it written out."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join([*lines, "flavors: {evil: *a9}", "signature: {inputs: *a9}"]).encode()


def listen(home: Path, canary: Path) -> list[str]:
    """What the hook has heard, from now on. Starting threads, DuckDB or the database needs none of it."""
    heard: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EXECUTED and not (event == "ctypes.dlopen" and arguments[0] is None):
            heard.append(f"{event} {str(arguments)[:200]}")
        elif event == "open" and str(arguments[0]).startswith(str(canary)):
            heard.append(f"{event} {arguments[0]}")
        elif event in {"import", "exec", "compile"} and str(home) in str(arguments):
            heard.append(f"{event} {str(arguments)[:200]}")

    sys.addaudithook(hook)
    return heard


def main(home: Path, marks: Path) -> None:
    import hashlib

    from streamlit.testing.v1 import AppTest

    from app.ui import nav
    from services import assets, models, sessions, uploads
    from services.core.errors import AtelierError
    from services.core.states import AssetKind
    from services.engines.fake_tracking import FakeTracking
    from services.reconcile.registry import Registry
    from services.specs.code import Entry
    from services.specs.models import Model
    from tests.conftest import make_stage

    os.environ["ATELIER_HOME"] = str(home)
    stage = make_stage(home)
    folder = stage.studio.folders.datastore(stage.lab.id, "workspaceblobstore")
    kept = stage.studio.folders.artifacts / "workspaces" / f"ws-{stage.lab.id}" / "1"
    canary = marks / "canary"
    canary.write_text(SECRET)
    (marks.parent / "canary").write_text(SECRET)
    found, tracking = corpus(marks), FakeTracking()
    secret = sessions.issue_sign_in(stage.studio, stage.ada)
    cookie = sessions.sign_in(stage.studio, secret) or ""

    def opened(screen: str, **asked: str) -> str:
        test = AppTest.from_file(str(nav.ROOT / "app" / "main.py"), default_timeout=60)
        test.user["sid"], test.user["name"] = sessions.sid(cookie), "ada"
        test.query_params.update({"ws": "lab", **asked})
        test.switch_page(str(nav.SCREENS[screen].path))
        test.run()
        if test.exception:
            raise RuntimeError(f"{screen} {asked}: {test.exception}")
        return "".join(str(each.proto.body) for each in test.get("html")) + "".join(str(c.value) for c in test.code)

    opened("models")  # what is imported at the first page is imported now
    heard, shown, refused = listen(home, canary), "", []
    for name, contents in found.items():
        for path, content in contents.items():
            for root in (folder / name, kept / name / "artifacts"):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
        (folder / name / "link.pkl").symlink_to(canary)
        entries = [Entry(p, len(content), hashlib.sha256(content).hexdigest()) for p, content in contents.items()]
        with stage.scope() as scope:
            begun = uploads.begin(scope, "data", entries)
            for path, content in contents.items():
                landing = uploads.landing(scope, begun.id, path)
                with landing.open() as target:
                    target.write(content)
                landing.finish()
            uploads.seal(scope, begun.id)
        for path in (f"azureml://uploads/{begun.id}/", f"azureml://datastores/workspaceblobstore/paths/{name}"):
            try:
                with stage.scope() as scope:
                    models.create(scope, Model(name=name, path=path))
            except AtelierError as error:
                refused.append(f"{name}: {error}")
        tracking.register(
            f"ws-{stage.lab.id}",
            f"client-{name}",
            source=f"mlflow-artifacts:/workspaces/ws-{stage.lab.id}/1/{name}/artifacts",
            run_id="",
            description="",
            tags={},
        )
    Registry(stage.studio, lambda: tracking, "t|1|1|x").look(full=True)
    with stage.scope() as scope:
        rows = [row for name in found for each in (name, f"client-{name}")
                for row in assets.versions(scope, AssetKind.model, each)]  # fmt: skip
        shown += json.dumps([models.as_json(scope, row) for row in rows])
        files = [(row, models.contents(scope, row)) for row in rows]
        compared = [models.compare(scope, name, ["1", "2"]) for name in found]
    for row, held in files:
        for each in held.listing().files:
            with held.opened(each.path)[0] as file:
                shown += file.read(1000).decode("latin-1")
        try:
            with held.opened("link.pkl")[0] as file:
                shown += file.read().decode("latin-1")
        except (AtelierError, OSError):
            refused.append(f"{row.name}: link")
    sizes = [models.sizes(each) for pair in compared for each in pair]
    for name in found:
        for tab in ("details", "artifacts", "compare"):
            shown += opened("model", name=name, tab=tab)
    done = sorted(path.name for path in marks.iterdir() if path != canary)
    said = {"heard": heard, "done": done, "leaked": SECRET in shown, "models": len(rows), "sizes": len(sizes)}
    before = len(heard)
    pickle.loads(pickle.dumps(Evil(marks / "after")))  # noqa: S301 (whether the hook hears at all)
    print(json.dumps({**said, "heard": heard[:before], "hears": len(heard) > before, "refused": refused}))
    stage.studio.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
