"""The wire between the studio and MLflow: passes bytes both ways until it is cut."""

import contextlib
import socket
import threading


class Wire:
    """Listens on a port of its own; `cut` and `mend` are the failure and its end, `refused` counts calls in between."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target, self._open = target, set[socket.socket]()
        self._is_cut = False
        self.refused = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def cut(self) -> None:
        """Nobody gets through any more, and who is talking is interrupted."""
        self._is_cut, self.refused = True, 0
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._is_cut:
                    self.refused += 1
                    near.close()
                    continue
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
        if sink in self._open:  # the other way is still open, and closes both
            self._open.discard(source)
            return
        for each in (source, sink):
            each.close()
