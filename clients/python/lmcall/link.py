"""One connection and the thread that serves it.

All socket work happens on that thread: a TLS session must not be read and written by two threads at once, and a thread that
waits to write could never read what the server must get rid of first.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from .connection import (
    Connection, Disconnected, Event, Failed, Finished, GoingAway, Pong, Replied, StreamsGranted, Welcome,
)  # fmt: skip
from .errors import Code, LMError

Inbox = SimpleQueue[Event]
"""Where a stream's events go, the last of them its end, a GoingAway that refused it, or a Disconnected."""

_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Link:
    """A connection that is being served until it ends. Its methods can be called from any thread."""

    def __init__(self, connected: socket.socket, connection: Connection) -> None:
        self._socket = connected
        self._connection = connection
        self._changed = threading.Condition()
        """Protects everything here but the socket, which is the thread's alone."""
        self._inboxes: dict[int, Inbox] = {}
        self._failure: LMError | None = None
        self._is_closing = False
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._heard = time.monotonic()
        self._pinged = self._heard
        self._thread = threading.Thread(target=self._serve, name="lmcall", daemon=True)
        self._thread.start()

    @property
    def resume_grace(self) -> float:
        """Seconds for which the server keeps a stream that lost its connection."""
        with self._changed:
            hello = self._connection.hello
            return hello.resume_grace if hello else 0.0

    @property
    def is_alive(self) -> bool:
        """Whether the connection still serves streams."""
        return self._thread.is_alive()

    @property
    def is_usable(self) -> bool:
        """Whether streams can be opened here, now or soon."""
        with self._changed:
            return not self._connection.is_exhausted and not self._is_closing

    def wait_until_ready(self, timeout: float) -> None:
        """Returns when the handshake is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._connection.hello, timeout)
            if self._failure is not None:
                raise self._failure
            if self._connection.hello is None:
                raise LMError(Code.CONNECTION, f"no HELLO within {timeout} s", retryable=True)

    def open(self, send: Callable[[Connection], int], inbox: Inbox, timeout: float | None = None) -> int:
        """Opens a stream with `send` as soon as the server allows one more."""
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._connection.can_open or self._connection.is_exhausted or self._is_closing, timeout
            )
            if not ready:
                raise LMError(Code.DEADLINE, "the server allowed no further stream in time")
            if self._connection.is_exhausted or self._is_closing:
                raise self._failure or LMError(Code.CONNECTION, "the connection takes no more streams", retryable=True)
            stream = send(self._connection)
            self._inboxes[stream] = inbox
        self._wake()
        return stream

    def grant(self, stream: int, limit: int, consumed: int) -> None:
        with self._changed:
            self._connection.grant(stream, limit, consumed)
        self._wake()

    def cancel(self, stream: int, reason: int) -> None:
        with self._changed:
            self._connection.cancel(stream, reason)
        self._wake()

    def abandon(self, stream: int, reason: int) -> None:
        """Cancels a stream whose events nobody reads any more."""
        with self._changed:
            self._inboxes.pop(stream, None)
            self._connection.cancel(stream, reason)
        self._wake()

    def close(self) -> None:
        """Ends the connection and waits for the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _wake(self) -> None:
        try:
            self._wake_sender.send(b"\0")
        except OSError:
            pass  # full: it will wake anyhow; closed: there is nobody to wake

    # The thread.

    def _serve(self) -> None:
        error = LMError(Code.CONNECTION, "the connection broke", retryable=True)
        unsent = b""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._wake_receiver, selectors.EVENT_READ)
                while True:
                    with self._changed:
                        unsent += self._connection.data_to_send()
                        is_over = self._is_closing or self._connection.is_closed or self._is_spent()
                    unsent = self._write(unsent)
                    if is_over:
                        error = LMError(Code.CLOSED, "the client was closed")
                        break
                    wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0)
                    selector.modify(self._socket, wanted)
                    selector.select(self._keep_alive())
                    self._read()
        except (OSError, LMError) as failure:
            error = LMError(Code.CONNECTION, f"the connection was lost: {failure}", retryable=True)
        finally:
            with self._changed:
                self._dispatch(self._connection.lost(error))
            for end in (self._socket, self._wake_sender, self._wake_receiver):
                end.close()

    def _is_spent(self) -> bool:
        """Whether the server sent this client away and nothing is left to be done here."""
        return self._connection.is_going_away and not self._connection.open_streams

    def _write(self, data: bytes) -> bytes:
        """Sends what the socket takes; the rest."""
        while data:
            try:
                data = data[self._socket.send(data) :]
            except _LATER:
                break
        return data

    def _read(self) -> None:
        try:
            while self._wake_receiver.recv(4096):
                pass
        except BlockingIOError:
            pass
        while True:
            try:
                data = self._socket.recv(65_536)
            except _LATER:
                return
            if not data:
                raise OSError("the server closed it")
            self._heard = time.monotonic()
            with self._changed:
                self._dispatch(self._connection.receive(data))

    def _keep_alive(self) -> float | None:
        """Sends PING after silence; seconds until there is something to do."""
        with self._changed:
            interval = self._connection.hello.keep_alive if self._connection.hello else None
            if interval is None:
                return None
            now = time.monotonic()
            if now - self._heard >= 3 * interval:
                raise OSError(f"the server was silent for {3 * interval} s")
            last = max(self._heard, self._pinged)
            if now - last >= interval:
                self._connection.ping(b"lmcall\0\0")
                self._pinged = last = now
                self._wake()
            return max(0.0, last + interval - now)

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Disconnected):
                self._failure = event.error
                for inbox in list(self._inboxes.values()):
                    inbox.put(event)
                self._inboxes.clear()
            elif isinstance(event, GoingAway):
                for stream in event.refused:
                    self._deliver(stream, event, is_last=True)
            elif not isinstance(event, (Welcome, StreamsGranted, Pong)):
                self._deliver(event.stream, event, is_last=isinstance(event, (Finished, Failed, Replied)))
        if events:
            self._changed.notify_all()

    def _deliver(self, stream: int, event: Event, *, is_last: bool) -> None:
        inbox = self._inboxes.get(stream)
        if inbox is not None:
            inbox.put(event)
        if is_last:
            self._inboxes.pop(stream, None)
