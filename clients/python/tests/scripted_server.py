"""A server that does what a test says, frame by frame, with the encoder of the test vectors."""

from __future__ import annotations

import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "Tests" / "Vectors"))
import encoder  # type: ignore[import-not-found]  # noqa: E402

PREFACE = bytes.fromhex("894c4d430d0a1a0a")
NAMES = {number: name for name, number in encoder.TYPES.items()}


class Peer:
    """One connection, from the server's side."""

    def __init__(self, connected: socket.socket, stream: BinaryIO) -> None:
        self._socket = connected
        self._stream = stream

    def read_hello(self) -> None:
        assert self._stream.read(8) == PREFACE
        self.expect("HELLO")

    def greet(self, **more: Any) -> None:
        """The handshake."""
        self.read_hello()
        self.send("HELLO", 0, **{"max_payload": 1_114_112, "keep_alive": 15_000, "resume_grace": 30_000} | more)
        self.send("MAX_STREAMS", 0, highest_stream=128)

    def read(self) -> tuple[str, int, bytes]:
        """The next frame: name, stream, payload."""
        head = self._stream.read(8)
        if len(head) < 8:
            return "END", 0, b""
        word, stream = struct.unpack("<II", head)
        return NAMES[word >> 24], stream, self._stream.read(word & 0xFFFFFF)

    def expect(self, name: str) -> tuple[int, bytes]:
        """Stream and payload of the next frame, which has this name."""
        found, stream, payload = self.read()
        assert found == name, f"{found} instead of {name}"
        return stream, payload

    def send(self, frame: str, stream: int, **meaning: Any) -> None:
        self._socket.sendall(encoder.encode({"frame": frame, "stream": stream} | meaning))

    def tokens(self, stream: int, first: int, texts: str) -> None:
        """A token for each letter."""
        pieces = [{"id": ord(letter), "text": letter} for letter in texts]
        self.send("TOKENS", stream, first=first, tokens=pieces)

    def finish(self, stream: int, text: str, reason: int = 1) -> None:
        crc = encoder.crc32c(text.encode())
        self.send("FINISH", stream, reason=reason, tokens=len(text), crc32c=crc, prompt_tokens=7)


Script = Callable[[Peer], None]


class ScriptedServer:
    """Serves one connection after the other, each with its script; a script that fails fails the test."""

    def __init__(self, *scripts: Script) -> None:
        self._folder = tempfile.TemporaryDirectory()
        path = f"{self._folder.name}/socket"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self.address = f"unix:{path}"
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, args=(scripts,), daemon=True)
        self._thread.start()

    def _serve(self, scripts: tuple[Script, ...]) -> None:
        try:
            for script in scripts:
                connected, _ = self._listener.accept()
                connected.settimeout(20)
                with connected, connected.makefile("rb") as stream:
                    script(Peer(connected, stream))
        except (OSError, AssertionError) as error:
            self._failure = error

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.join(20)
        self._listener.close()
        self._folder.cleanup()
        if self._failure is not None:
            raise AssertionError(f"the server's script failed: {self._failure!r}") from self._failure
        assert kind is not None or not self._thread.is_alive(), "the server's script waits for what did not come"
