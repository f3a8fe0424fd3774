"""A way to the server that breaks at a chosen byte."""

from __future__ import annotations

import contextlib
import socket
import threading

from lmcall.transport import parse_address


class Forwarder:
    """Listens on 127.0.0.1 and forwards to a server. The first connection breaks after so many bytes from the server."""

    def __init__(self, address: str, bytes_until_cut: int | None = None) -> None:
        self.count = 0
        """Bytes that came from the server."""
        self._server = parse_address(address)
        self._left = bytes_until_cut
        self._is_first = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:{}".format(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Forwarder:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                family = socket.AF_UNIX if isinstance(self._server, str) else socket.AF_INET
                far = socket.socket(family)
                try:
                    far.connect(self._server)
                except OSError:
                    near.close()  # the client learns it at once
                    raise
                limit = self._left if self._is_first else None
                self._is_first = False
                for way in ((near, far, None, False), (far, near, limit, True)):
                    thread = threading.Thread(target=self._copy, args=way, daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _copy(self, source: socket.socket, sink: socket.socket, limit: int | None, is_counted: bool) -> None:
        with contextlib.suppress(OSError):
            while limit != 0 and (data := source.recv(65_536 if limit is None else limit)):
                sink.sendall(data)
                self.count += len(data) if is_counted else 0
                limit = None if limit is None else limit - len(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
