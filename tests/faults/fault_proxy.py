"""A door in front of a Unix socket that can be shut or, worse, left open with nobody behind it."""

import contextlib
import selectors
import socket
import threading
from pathlib import Path


class FaultProxy:
    """Passes bytes both ways; `hang` accepts and answers nothing, `cut` breaks what is open, `heal` ends both."""

    def __init__(self, place: Path, target: Path) -> None:
        self.url, self._target = f"unix://{place}", target
        self._passes = threading.Event()
        self._passes.set()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(place))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def hang(self) -> None:
        self._passes.clear()

    def heal(self) -> None:
        """What was held back while it hung is passed on now, as a slow network would."""
        self._passes.set()

    def cut(self) -> None:
        """Breaks every connection that is open now."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.heal()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        with near, far, contextlib.suppress(OSError):
            self._passes.wait()
            far.connect(str(self._target))
            with self._lock:
                self._open |= {near, far}
            self._relay(near, far)
        with self._lock:
            self._open -= {near, far}

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with selectors.DefaultSelector() as ready:
            for one in other:
                ready.register(one, selectors.EVENT_READ)
            while ready.get_map():
                for key, _ in ready.select():
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    sent = source.recv(1 << 16)
                    self._passes.wait()
                    if not sent:
                        ready.unregister(source)
                        with contextlib.suppress(OSError):
                            other[source].shutdown(socket.SHUT_WR)
                        continue
                    other[source].sendall(sent)
