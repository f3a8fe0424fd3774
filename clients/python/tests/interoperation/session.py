"""What the cases work with: the server under test, and a connection to it that is pumped by hand."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lmcall import Client, Code, LMError, Request, TokenStream, transport
from lmcall.connection import (
    Accepted, Connection, Disconnected, Event, Failed, Finished, Pong, Replied, StreamsGranted, TokensArrived,
)  # fmt: skip

PATIENCE = 60.0
"""Seconds after which something that should come is missing. Generous: machines under test are busy."""


class Skip(Exception):
    """The server, or what is known of it, does not allow this case."""


class Wrong(AssertionError):
    """The server did something else than it must."""


def require(condition: object, message: object) -> None:
    if not condition:
        raise Wrong(str(message))


def expect_error(code: int, act: Callable[[], object]) -> LMError:
    """Runs `act`, which must fail with this code."""
    try:
        result = act()
    except LMError as error:
        require(error.code == code, f"fails with {error} instead of {Code(code).name}")
        return error
    raise Wrong(f"gives {result!r} instead of {Code(code).name}")


Found = TypeVar("Found", bound=Event)


@dataclass
class Target:
    """The server under test."""

    address: str
    key: str | None = None
    other_key: str | None = None
    authority: str | None = None
    process: int | None = None

    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.authority) if self.authority else None

    def client(self, through: str | None = None) -> Client:
        return Client(through or self.address, key=self.key, tls=self.tls() or False)

    def session(self, key: str | None = None) -> Session:
        session = Session(self.socket(), Connection(agent="interop/1", key=key or self.key))
        session.until(StreamsGranted)
        return session

    def socket(self) -> socket.socket:
        """A connected socket without a word on it."""
        tls = self.tls()
        connected = transport.connect(
            transport.parse_address(self.address), transport.tls_context(tls) if tls else None, None, PATIENCE
        )
        connected.settimeout(PATIENCE)
        return connected


class Session:
    """A connection that is pumped by hand: its events are taken one by one, others wait."""

    def __init__(self, connected: socket.socket, connection: Connection) -> None:
        self.socket = connected
        self.connection = connection
        self._waiting: list[Event] = []
        self._can_send = True
        self.flush()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        data = self.connection.data_to_send()
        if data and self._can_send:
            self.socket.sendall(data)

    def end_sending(self) -> None:
        """Closes this half; a PONG that the server asks for later is not sent."""
        self.flush()
        self._can_send = False
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        """Sends bytes that the connection knows nothing of."""
        self.flush()
        self.socket.sendall(data)

    def until(self, kind: type[Found], stream: int | None = None) -> Found:
        """The next event of this kind (on this stream)."""
        end = time.monotonic() + PATIENCE
        while True:
            for position, event in enumerate(self._waiting):
                if isinstance(event, kind) and stream in (None, getattr(event, "stream", None)):
                    del self._waiting[position]
                    return event
                if isinstance(event, Disconnected) or (
                    stream is not None and getattr(event, "stream", None) == stream and isinstance(event, Failed)
                ):
                    raise event.error
            self.flush()
            data = self.socket.recv(65_536)
            require(data, f"the server closes the connection where {kind.__name__} should come")
            self._waiting += self.connection.receive(data)
            require(time.monotonic() < end, f"{kind.__name__} does not come")

    def round_trip(self) -> None:
        """Returns when the server has dealt with what was sent before."""
        self.connection.ping(b"interop\0")
        self.until(Pong)

    def generate(self, prompt: str = "Hello", credit: int = 2**32 - 1, **options: Any) -> int:
        request = Request(prompt, **({"temperature": 0, "ignore_end": True, "max_tokens": 8} | options))
        return self.connection.generate(request.encode(credit), credit)

    def accepted(self, stream: int) -> Accepted:
        return self.until(Accepted, stream)

    def tokens(self, stream: int, count: int) -> list[int]:
        """Ids of the next tokens, exactly so many."""
        ids: list[int] = []
        while len(ids) < count:
            ids += [token.id for token in self.until(TokensArrived, stream).tokens]
        require(len(ids) == count, f"{len(ids)} tokens instead of {count}")
        return ids

    def finish(self, stream: int) -> Finished:
        return self.until(Finished, stream)

    def error(self, stream: int) -> LMError:
        """The error that ends the stream."""
        try:
            event = self.until(Failed, stream)
        except LMError as error:
            return error
        return event.error

    def reply(self, stream: int) -> Replied:
        return self.until(Replied, stream)

    def nothing_but_pong(self, stream: int) -> None:
        """No token of the stream is there after a round trip."""
        self.round_trip()
        for event in self._waiting:
            require(not isinstance(event, TokensArrived), f"tokens without credit on stream {stream}")

    def cut(self) -> None:
        """Loses the connection without a word."""
        cut(self.socket)
        self.socket.close()


def cut(connected: socket.socket) -> None:
    """Ends both directions below TLS; nothing when they have ended already."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connected.fileno())) as below:
        below.shutdown(socket.SHUT_RDWR)


def cut_stream(stream: TokenStream) -> None:
    """Loses the connection of a client's stream."""
    cut(stream._link._socket)
