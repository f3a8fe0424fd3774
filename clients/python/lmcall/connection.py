"""The protocol without I/O: bytes in, events out; requests in, bytes out. Section 5 of the specification.

    connection = Connection(agent="example/1")
    socket.sendall(connection.data_to_send())
    for event in connection.receive(socket.recv(65536)): ...

Nothing here blocks, reads a clock or knows a socket. What the server must not do raises nothing: it ends the connection
with a `Disconnected` event, and `data_to_send` has the ERROR for the server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

from . import messages, wire
from .crc32c import crc32c
from .errors import Code, LMError, Violation
from .messages import Accept, Finish, GoAway, Progress, Reply, ServerHello, Token
from .wire import Kind


@dataclass(frozen=True)
class Welcome:
    """The handshake is done; streams can be opened when StreamsGranted arrives."""

    hello: ServerHello


@dataclass(frozen=True)
class StreamsGranted:
    """Streams up to this number can be opened."""

    highest: int


@dataclass(frozen=True)
class GoingAway:
    """No more streams are wanted here; those in `refused` were not started and can be repeated elsewhere."""

    goaway: GoAway
    refused: tuple[int, ...]


@dataclass(frozen=True)
class Pong:
    """The answer to a PING."""

    data: bytes


@dataclass(frozen=True)
class Accepted:
    """The generation is queued."""

    stream: int
    accept: Accept


@dataclass(frozen=True)
class TokensArrived:
    """Tokens, and the checksum of the whole text so far, if that is known."""

    stream: int
    tokens: list[Token]
    crc32c: int | None


@dataclass(frozen=True)
class Progressed:
    """What a stream waits for."""

    stream: int
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """A generation ended; the stream is closed."""

    stream: int
    finish: Finish


@dataclass(frozen=True)
class Replied:
    """A call was answered; the stream is closed."""

    stream: int
    reply: Reply


@dataclass(frozen=True)
class Failed:
    """A stream ended with an error."""

    stream: int
    error: LMError


@dataclass(frozen=True)
class Disconnected:
    """The connection is over, and with it every stream that was open."""

    error: LMError


Event = Union[
    Welcome, StreamsGranted, GoingAway, Pong, Accepted, TokensArrived, Progressed, Finished, Replied, Failed, Disconnected
]


@dataclass
class _Stream:
    """An open stream. `method` is that of a call, 0 for a generation."""

    method: int
    first: int = 0
    """The index the first token must have."""
    next: int = 0
    limit: int = 0
    consumed: int = 0
    crc32c: int | None = 0
    accepted: bool = False
    cancelled: bool = False


class Connection:
    """The client's end of one connection."""

    def __init__(self, *, agent: str = "", key: str | None = None, max_payload: int = 4_259_840) -> None:
        self.hello: ServerHello | None = None
        self.is_closed = False
        self.is_going_away = False
        self._max_payload = max_payload
        self._inbound = bytearray()
        self._outbound = bytearray(wire.PREFACE)
        self._streams: dict[int, _Stream] = {}
        self._last_opened = 0
        self._granted = 0
        self._send(Kind.HELLO, 0, messages.encode_hello(max_payload, key=key, agent=agent))

    # What the application does.

    @property
    def open_streams(self) -> tuple[int, ...]:
        return tuple(self._streams)

    @property
    def can_open(self) -> bool:
        """Whether a stream can be opened now."""
        return not self.is_exhausted and self._last_opened < self._granted

    @property
    def is_exhausted(self) -> bool:
        """Whether no stream can ever be opened here again."""
        return self.is_closed or self.is_going_away or self._last_opened >= wire.LAST_STREAM

    def data_to_send(self) -> bytes:
        """Takes the bytes that wait to be sent."""
        data = bytes(self._outbound)
        self._outbound.clear()
        return data

    def generate(self, payload: bytes, credit: int) -> int:
        """Opens a generation with this payload of GENERATE, which grants this credit; the stream's number."""
        return self._open(Kind.GENERATE, payload, _Stream(method=0, limit=credit))

    def resume(self, token: bytes, index: int, credit: int, crc32c: int | None = None) -> int:
        """Opens a stream that continues a generation at `index`. `crc32c` is that of all text before; without it the text
        is not checked at the end."""
        payload = token + index.to_bytes(4, "little") + credit.to_bytes(4, "little")
        stream = _Stream(method=0, first=index, next=index, limit=credit, consumed=index, crc32c=crc32c)
        return self._open(Kind.RESUME, payload, stream)

    def call(self, method: int, payload: bytes) -> int:
        """Asks a question of this method; the stream's number."""
        return self._open(Kind.CALL, payload, _Stream(method=method))

    def grant(self, stream: int, limit: int, consumed: int) -> None:
        """Lets tokens below `limit` come, and says that those below `consumed` were used. Later than the end: nothing."""
        state = self._streams.get(stream)
        if state is None or (limit <= state.limit and consumed <= state.consumed):
            return
        state.limit = max(state.limit, limit)
        state.consumed = max(state.consumed, min(consumed, state.next))
        self._send(Kind.CREDIT, stream, state.limit.to_bytes(4, "little") + state.consumed.to_bytes(4, "little"))

    def cancel(self, stream: int, reason: int = 1) -> None:
        """Asks for the end of a stream, which still arrives as an event. Reasons: 1 user, 2 deadline, 3 unread."""
        state = self._streams.get(stream)
        if state is not None and not state.cancelled:
            state.cancelled = True
            self._send(Kind.CANCEL, stream, reason.to_bytes(4, "little"))

    def ping(self, data: bytes) -> None:
        self._send(Kind.PING, 0, data)

    def _open(self, kind: Kind, payload: bytes, state: _Stream) -> int:
        if not self.can_open or self.hello is None:
            raise LMError(Code.OVERLOADED, "no stream can be opened on this connection now", retryable=True)
        if len(payload) > self.hello.max_payload:
            raise LMError(
                Code.TOO_LARGE, f"the request has {len(payload)} bytes; the server takes {self.hello.max_payload}"
            )
        self._last_opened += 1
        self._streams[self._last_opened] = state
        self._send(kind, self._last_opened, payload)
        return self._last_opened

    def _send(self, kind: Kind, stream: int, payload: bytes) -> None:
        if not self.is_closed:
            self._outbound += wire.frame(kind, stream, payload)

    # What the server does.

    def receive(self, data: bytes) -> list[Event]:
        """What these bytes, after those of before, mean."""
        events: list[Event] = []
        self._inbound += data
        offset = 0
        try:
            while not self.is_closed and len(self._inbound) - offset >= wire.HEADER_SIZE:
                length, kind, stream = wire.header(self._inbound, offset)
                limit = self._max_payload if self.hello else wire.FIRST_PAYLOAD_LIMIT
                if length > limit:
                    raise Violation(f"a frame has {length} bytes; {limit} are allowed", Code.FRAME_TOO_LARGE)
                end = offset + wire.HEADER_SIZE + length
                if len(self._inbound) < end:
                    break
                payload = bytes(self._inbound[offset + wire.HEADER_SIZE : end])
                offset = end
                event = self._frame(kind, stream, payload)
                if event is not None:
                    events.append(event)
        except Violation as violation:
            self._send(Kind.ERROR, 0, messages.encode_error(violation.code, str(violation)))
            events.append(self._disconnect(LMError(violation.code, str(violation))))
        del self._inbound[:offset]
        return events

    def lost(self, error: LMError) -> list[Event]:
        """The transport failed or ended; what that means to the streams."""
        return [] if self.is_closed else [self._disconnect(error)]

    def _disconnect(self, error: LMError) -> Event:
        self.is_closed = True
        self._streams.clear()
        return Disconnected(error)

    def _frame(self, kind: int, stream: int, payload: bytes) -> Event | None:
        if self.hello is None and kind not in (Kind.HELLO, Kind.ERROR):
            raise Violation(f"the first frame is of type {kind:#x} instead of HELLO")
        if handler := _CONNECTION_FRAMES.get(kind):
            if stream == 0:
                return handler(self, payload)
            if kind != Kind.ERROR:
                raise Violation(f"{Kind(kind).name} on stream {stream}")
        if kind in _STREAM_FRAMES:
            return self._stream_frame(Kind(kind), stream, payload)
        if kind in Kind._value2member_map_:
            raise Violation(f"{Kind(kind).name} from a server")
        if kind & wire.CRITICAL_TYPE:
            raise Violation(f"a frame of the unknown critical type {kind:#x}")
        return None

    def _stream_frame(self, kind: Kind, stream: int, payload: bytes) -> Event | None:
        handler, is_legal = _STREAM_FRAMES[kind]
        state = self._streams.get(stream)
        if state is None or not is_legal(state):
            raise Violation(f"{kind.name} on stream {stream}, which does not expect it")
        return handler(self, stream, state, payload)

    def _on_hello(self, payload: bytes) -> Event:
        if self.hello is not None:
            raise Violation("a second HELLO")
        self.hello = messages.decode_hello(payload)
        return Welcome(self.hello)

    def _on_error(self, payload: bytes) -> Event:
        return self._disconnect(messages.decode_error(payload))

    def _on_ping(self, payload: bytes) -> None:
        self._send(Kind.PONG, 0, wire.opaque(8)(payload))

    def _on_pong(self, payload: bytes) -> Event:
        return Pong(wire.opaque(8)(payload))

    def _on_max_streams(self, payload: bytes) -> Event | None:
        highest = messages.decode_max_streams(payload)
        if highest <= self._granted:
            return None
        self._granted = highest
        return StreamsGranted(highest)

    def _on_goaway(self, payload: bytes) -> Event:
        goaway = messages.decode_goaway(payload)
        self.is_going_away = True
        refused: tuple[int, ...] = ()
        if goaway.is_final:
            refused = tuple(stream for stream in self._streams if stream > goaway.last_stream)
            for stream in refused:
                del self._streams[stream]
        return GoingAway(goaway, refused)

    def _on_accept(self, stream: int, state: _Stream, payload: bytes) -> Event:
        accept = messages.decode_accept(payload)
        if accept.first_index != state.first:
            raise Violation(f"ACCEPT starts stream {stream} at {accept.first_index} instead of {state.first}")
        state.accepted = True
        return Accepted(stream, accept)

    def _on_tokens(self, stream: int, state: _Stream, payload: bytes) -> Event:
        tokens, text = messages.decode_tokens(payload, state.next)
        if state.next + len(tokens) > state.limit:
            raise Violation(f"{len(tokens)} tokens from {state.next} on stream {stream} pass the limit {state.limit}")
        state.next += len(tokens)
        if state.crc32c is not None:
            state.crc32c = crc32c(text, state.crc32c)
        return TokensArrived(stream, tokens, state.crc32c)

    def _on_progress(self, stream: int, state: _Stream, payload: bytes) -> Event:
        return Progressed(stream, messages.decode_progress(payload))

    def _on_finish(self, stream: int, state: _Stream, payload: bytes) -> Event:
        finish = messages.decode_finish(payload)
        if finish.tokens != state.next:
            raise Violation(f"FINISH counts {finish.tokens} tokens where {state.next} were sent")
        del self._streams[stream]
        if state.crc32c not in (None, finish.crc32c):
            message = f"the text has CRC-32C {state.crc32c:#x} where {finish.crc32c:#x} was sent"
            return Failed(stream, LMError(Code.CHECKSUM, message))
        return Finished(stream, finish)

    def _on_stream_error(self, stream: int, state: _Stream, payload: bytes) -> Event:
        error = messages.decode_error(payload)
        del self._streams[stream]
        return Failed(stream, error)

    def _on_reply(self, stream: int, state: _Stream, payload: bytes) -> Event:
        reply = messages.decode_reply(state.method, payload)
        del self._streams[stream]
        return Replied(stream, reply)


_CONNECTION_FRAMES: dict[int, Callable[[Connection, bytes], Event | None]] = {
    Kind.HELLO: Connection._on_hello,
    Kind.PING: Connection._on_ping,
    Kind.PONG: Connection._on_pong,
    Kind.GOAWAY: Connection._on_goaway,
    Kind.MAX_STREAMS: Connection._on_max_streams,
    Kind.ERROR: Connection._on_error,
}


def _accepted(state: _Stream) -> bool:
    return state.accepted


def _opened(state: _Stream) -> bool:
    return not state.accepted and state.method == 0


_STREAM_FRAMES: dict[
    int, tuple[Callable[[Connection, int, _Stream, bytes], Event | None], Callable[[_Stream], bool]]
] = {
    Kind.ACCEPT: (Connection._on_accept, _opened),
    Kind.TOKENS: (Connection._on_tokens, _accepted),
    Kind.PROGRESS: (Connection._on_progress, _accepted),
    Kind.FINISH: (Connection._on_finish, _accepted),
    Kind.ERROR: (Connection._on_stream_error, lambda state: True),
    Kind.REPLY: (Connection._on_reply, lambda state: state.method != 0),
}
