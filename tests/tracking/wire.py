"""The wire between the studio and MLflow: passes bytes both ways until it is cut."""

import contextlib
import socket
import threading


class Wire:
    """Listens on a port of its own, which stays the same; `cut` and `mend` are the failure and its end."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target, self._open = target, set[socket.socket]()
        self._listener: socket.socket | None = None
        self.port = 0
        self.mend()

    def mend(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Nobody gets through any more, and who is talking is interrupted."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _listen(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._open |= {near, far}
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        if source in self._open and sink in self._open:
            self._open.discard(source)
            return
        for each in (source, sink):
            self._open.discard(each)
            each.close()
