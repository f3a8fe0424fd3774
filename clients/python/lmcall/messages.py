"""What the payloads mean: section 6. Clients encode requests and decode answers; nothing here keeps state."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from . import wire
from .errors import Code, LMError, Violation
from .wire import Reader, number, opaque, text, unpack

MAX_TOKEN_TEXT = 4_096
MAX_FRAME_TEXT = 16_384
MAX_ENTRIES = 21
UNLIMITED = 2**32 - 1

# What the application asks.


@dataclass(frozen=True)
class Message:
    """One message of a conversation. Roles are `system`, `user`, `assistant` and `tool`."""

    role: str
    content: str
    members: Mapping[str, Any] = field(default_factory=dict)
    """What else the chat template may read: `tool_calls`, `tool_call_id`, `name`, `reasoning_content`. As `content` only
    `None` beside an empty content, for templates that ask for it."""

    def encode(self) -> bytes:
        role = self.role.encode()
        if len(role) > 255:
            raise LMError(Code.INVALID, f"a role has {len(role)} bytes; 32 are allowed")
        return bytes([len(role)]) + role + self.content.encode()


Prompt = Union[str, Sequence[int], Sequence[Message]]
"""A text, token ids that are used as they are, or the messages of a conversation."""


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise LMError(Code.INVALID, f"a value of the request is no JSON: {error}") from None


def _prompt_fields(
    prompt: Prompt, tools: Sequence[Mapping[str, Any]], template_arguments: Mapping[str, Any]
) -> list[tuple[int, bytes]]:
    fields = _prompt_field(prompt)
    if tools:
        fields.append((0x8005, _json(list(tools))))
    if template_arguments:
        fields.append((0x8006, _json(dict(template_arguments))))
    return fields


def _prompt_field(prompt: Prompt) -> list[tuple[int, bytes]]:
    if isinstance(prompt, str):
        return [(2, prompt.encode())]
    if prompt and isinstance(prompt[0], Message):
        conversation: Sequence[Message] = prompt  # type: ignore[assignment]
        return [(0x4004, message.encode()) for message in conversation] + [
            (0xC007, struct.pack("<H", index) + _json(dict(message.members)))
            for index, message in enumerate(conversation)
            if message.members
        ]
    return [(3, struct.pack(f"<{len(prompt)}i", *prompt))]


@dataclass(frozen=True)
class Request:
    """A generation. `None` leaves a choice to the server; its documentation has the ranges (section 6.5)."""

    prompt: Prompt
    model: str | None = None
    raw: bool = False
    """A text prompt skips the chat template."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Functions that the model may call, as its chat template reads them. Not beside a raw text or ids."""
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of the chat template, such as `{"enable_thinking": False}`. Not beside a raw text or ids."""
    max_tokens: int | None = None
    min_tokens: int | None = None
    stop: str | Sequence[str] = ()
    stop_tokens: Sequence[int] = ()
    ignore_end: bool = False
    """The model's own end tokens do not end the output."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    logprobs: int | None = None
    """Number of likeliest alternatives reported beside each chosen token; `None` for no log-probabilities at all."""
    priority: int = 3
    """0 is the most urgent, 7 the least."""
    timeout: float | None = None
    """Seconds from the server's receipt to its DEADLINE error."""
    first_token_timeout: float | None = None
    token_gap_timeout: float | None = None
    resumable: bool = True
    """The stream survives the loss of its connection, if the server offers that."""
    idempotency_key: bytes | None = field(default=None, repr=False)
    """16 random bytes; a repetition with the same key finds the work of the first."""

    def encode(self, credit: int) -> bytes:
        flags = self.raw << 0 | self.ignore_end << 1 | self.resumable << 2
        try:
            fixed = struct.pack("<IIBBH", credit, _milliseconds(self.timeout) or 0, self.priority, flags, 0)
            return fixed + wire.encode_fields(self._fields())
        except struct.error as error:
            raise LMError(Code.INVALID, f"a value of the request does not fit its field: {error}") from None

    def _fields(self) -> list[tuple[int, bytes]]:
        simple: list[tuple[int, str, int | float | None]] = [
            (16, "f", self.temperature),
            (17, "f", self.top_p),
            (18, "I", self.top_k),
            (19, "f", self.min_p),
            (20, "f", self.repetition_penalty),
            (21, "f", self.presence_penalty),
            (22, "f", self.frequency_penalty),
            (23, "Q", self.seed),
            (24, "B", self.logprobs),
            (32, "I", self.max_tokens),
            (33, "I", self.min_tokens),
            (36, "I", _milliseconds(self.first_token_timeout)),
            (37, "I", _milliseconds(self.token_gap_timeout)),
        ]
        fields = [(key, struct.pack("<" + layout, value)) for key, layout, value in simple if value is not None]
        if self.model is not None:
            fields.append((1, self.model.encode()))
        if self.stop_tokens:
            fields.append((34, struct.pack(f"<{len(self.stop_tokens)}i", *self.stop_tokens)))
        if self.idempotency_key is not None:
            fields.append((40, self.idempotency_key))
        stops = [self.stop] if isinstance(self.stop, str) else self.stop
        prompt = _prompt_fields(self.prompt, self.tools, self.template_arguments)
        return fields + prompt + [(0x4023, stop.encode()) for stop in stops]


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1000))


HEALTH, MODELS, TOKENIZE, DETOKENIZE, STATISTICS, EMBED = range(1, 7)
"""Methods of CALL."""


POOLINGS = {"last": 1, "mean": 2}
"""Which hidden states of a prompt make its embedding."""


def encode_call(
    method: int,
    *,
    model: str | None = None,
    prompt: Prompt | None = None,
    tokens: Sequence[int] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    template_arguments: Mapping[str, Any] | None = None,
    pooling: str | None = None,
    normalize: bool = False,
    timeout: float | None = None,
) -> bytes:
    fields: list[tuple[int, bytes]] = []
    if model is not None:
        fields.append((1, model.encode()))
    if prompt is not None:
        fields += _prompt_fields(prompt, tools, template_arguments or {})
    if tokens is not None:
        fields.append((3, struct.pack(f"<{len(tokens)}i", *tokens)))
    if pooling is not None:
        if pooling not in POOLINGS:
            raise LMError(Code.INVALID, f"pooling is {pooling!r}; it can be {' or '.join(POOLINGS)}")
        fields.append((16, struct.pack("<B", POOLINGS[pooling])))
    if normalize:
        fields.append((17, b"\1"))
    if timeout is not None:
        fields.append((18, struct.pack("<I", _milliseconds(timeout))))
    return struct.pack("<HH", method, 0) + wire.encode_fields(fields)


def encode_hello(max_payload: int, *, key: str | None, agent: str) -> bytes:
    fields = ([(1, key.encode())] if key is not None else []) + ([(2, agent.encode())] if agent else [])
    return struct.pack("<BBHIQ", 1, 1, 0, max_payload, 0) + wire.encode_fields(fields)


def encode_error(code: int, message: str) -> bytes:
    return struct.pack("<HBBI", code, 0, 0, 0) + wire.encode_fields([(1, message.encode()[:1024])])


# What the server answers.

Budget = tuple[int, int]
"""So many a second on average, and so many at once."""


def _budget(value: bytes) -> Budget:
    average, burst = struct.unpack("<II", opaque(8)(value))
    return average, burst


@dataclass(frozen=True)
class ServerHello:
    """What a server says about itself and the connection."""

    max_payload: int
    capabilities: int = 0
    agent: str = ""
    keep_alive: float | None = None
    """Seconds of silence before a PING."""
    resume_grace: float = 0.0
    """Seconds for which a lost stream is kept; 0 for no resumption."""
    cancel_budget: Budget | None = None
    control_budget: Budget | None = None
    glitch_budget: Budget | None = None


_HELLO = struct.Struct("<BBHIQ")
_HELLO_FIELDS: dict[int, Reader] = {
    2: text(256), 3: number("I"), 4: number("I"), 5: _budget, 6: _budget, 7: _budget,
}  # fmt: skip


def decode_hello(payload: bytes) -> ServerHello:
    lowest, highest, _, max_payload, capabilities = unpack(_HELLO, payload, "HELLO")
    fields = wire.decode_fields(payload, _HELLO.size, _HELLO_FIELDS, "HELLO")
    if lowest != highest or lowest == 0:
        raise Violation(f"the server chose versions {lowest} to {highest} instead of one")
    if lowest != 1:
        raise Violation(f"the server chose version {lowest}; 1 was offered", Code.VERSION)
    if not 65_536 <= max_payload <= 0xFFFFFF:
        raise Violation(f"the server announces payloads to {max_payload}; 65,536 to 16,777,215 are allowed")
    keep_alive = fields.get(3)
    return ServerHello(
        max_payload, capabilities, fields.get(2, ""), keep_alive / 1000 if keep_alive else None,
        fields.get(4, 0) / 1000, fields.get(5), fields.get(6), fields.get(7),
    )  # fmt: skip


@dataclass(frozen=True)
class GoAway:
    """The server wants no more streams here. `last_stream` is UNLIMITED in a warning."""

    last_stream: int
    grace: float
    reason: int

    @property
    def is_final(self) -> bool:
        return self.last_stream != UNLIMITED


def decode_goaway(payload: bytes) -> GoAway:
    last, grace, reason = unpack(struct.Struct("<III"), payload, "GOAWAY", exact=True)
    return GoAway(last, grace / 1000, Code.of(reason))


@dataclass(frozen=True)
class Accept:
    """The request is queued."""

    first_index: int
    request_id: str = ""
    model: str = ""
    seed: int | None = None
    resume_token: bytes | None = field(default=None, repr=False)


_ACCEPT_FIELDS: dict[int, Reader] = {1: text(256), 2: text(256), 3: number("Q"), 4: opaque(16)}


def decode_accept(payload: bytes) -> Accept:
    (first,) = unpack(struct.Struct("<I"), payload, "ACCEPT")
    fields = wire.decode_fields(payload, 4, _ACCEPT_FIELDS, "ACCEPT")
    return Accept(first, fields.get(1, ""), fields.get(2, ""), fields.get(3), fields.get(4))


@dataclass(frozen=True)
class Logprob:
    """A token and the natural logarithm of its probability."""

    token: int
    logprob: float


@dataclass(frozen=True)
class Token:
    """One token. `logprobs` has the token itself first, then the likeliest ones in falling order."""

    index: int
    id: int
    text: str
    logprobs: tuple[Logprob, ...] = ()


_TOKENS = struct.Struct("<HBB")


def decode_tokens(payload: bytes, first_index: int) -> tuple[list[Token], bytes]:
    """The tokens, numbered from `first_index`, and their text as bytes."""
    low_index, count, flags = unpack(_TOKENS, payload, "TOKENS")
    if low_index != first_index & 0xFFFF:
        raise Violation(f"TOKENS starts at index {low_index} (mod 65,536) where {first_index} comes next")
    if count == 0 or flags & ~3:
        raise Violation(f"TOKENS has {count} tokens and flags {flags:#x}")
    layout = "<" + f"{count}i" + (f"{count - 1}H" if flags & 2 else f"{count - 1}B")
    head = struct.Struct(layout + (f"{count}B" if flags & 1 else ""))
    numbers = unpack(head, payload[_TOKENS.size :], "the head of TOKENS")
    token_ids, lengths, entry_counts = numbers[:count], numbers[count : 2 * count - 1], numbers[2 * count - 1 :]

    offset = _TOKENS.size + head.size
    entries: list[tuple[Logprob, ...]] = []
    if flags & 1:
        size = 8 * sum(entry_counts)
        if max(entry_counts) > MAX_ENTRIES or size > len(payload) - offset:
            raise Violation("TOKENS has more log-probabilities than are allowed, or than it has room for")
        flat = [Logprob(*pair) for pair in struct.iter_unpack("<if", payload[offset : offset + size])]
        offset += size
        start = 0
        for entry_count in entry_counts:
            entries.append(tuple(flat[start : start + entry_count]))
            start += entry_count

    whole = payload[offset:]
    last = len(whole) - sum(lengths)
    if last < 0 or len(whole) > MAX_FRAME_TEXT or max((*lengths, last)) > MAX_TOKEN_TEXT:
        raise Violation("the texts of TOKENS are longer than is allowed, or than the frame")
    tokens = []
    start = 0
    for position, length in enumerate((*lengths, last)):
        piece = whole[start : start + length].decode(errors="replace")
        start += length
        tokens.append(
            Token(first_index + position, token_ids[position], piece, entries[position] if entries else ())
        )
    return tokens, whole


@dataclass(frozen=True)
class Progress:
    """What a stream waits for. Phases: 1 queued, 2 prefill, 3 stalled for want of credit."""

    phase: int
    done: int
    total: int


def decode_progress(payload: bytes) -> Progress:
    return Progress(*unpack(struct.Struct("<B3xII"), payload, "PROGRESS", exact=True))


@dataclass(frozen=True)
class Usage:
    """What a generation cost. Times are in seconds."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    recomputed: int = 0
    queue_time: float = 0.0
    prefill_time: float = 0.0
    decode_time: float = 0.0


_USAGE_FIELDS: dict[int, Reader] = {
    16: number("I"), 17: number("I"), 18: number("I"), 19: number("I"), 20: number("Q"), 21: number("Q"),
    22: number("Q"),
}  # fmt: skip


def _usage(fields: dict[int, int]) -> Usage | None:
    if not any(key in fields for key in _USAGE_FIELDS):
        return None
    counts = [fields.get(key, 0) for key in (16, 17, 18, 19)]
    return Usage(*counts, *(fields.get(key, 0) / 1e9 for key in (20, 21, 22)))


FINISH_REASONS = {1: "stop", 2: "length", 3: "cancelled"}


@dataclass(frozen=True)
class Finish:
    """How a generation ended: `stop`, `length` or `cancelled`, or `reason N` for one of a later version."""

    reason: str
    tokens: int
    crc32c: int
    usage: Usage | None = None
    seed: int | None = None


_FINISH = struct.Struct("<B3xII")


def decode_finish(payload: bytes) -> Finish:
    reason, tokens, crc = unpack(_FINISH, payload, "FINISH")
    fields = wire.decode_fields(payload, _FINISH.size, {**_USAGE_FIELDS, 23: number("Q")}, "FINISH")
    return Finish(FINISH_REASONS.get(reason, f"reason {reason}"), tokens, crc, _usage(fields), fields.get(23))


_ERROR = struct.Struct("<HBBI")


def decode_error(payload: bytes) -> LMError:
    code, flags, _, retry_after = unpack(_ERROR, payload, "ERROR")
    fields = wire.decode_fields(payload, _ERROR.size, {1: text(1024), **_USAGE_FIELDS}, "ERROR")
    return LMError(
        code, fields.get(1, ""), retryable=bool(flags & 1), retry_after=retry_after / 1000, usage=_usage(fields)
    )


def decode_max_streams(payload: bytes) -> int:
    (highest,) = unpack(struct.Struct("<I"), payload, "MAX_STREAMS", exact=True)
    return int(highest)


HEALTH_STATES = {1: "ready", 2: "loading", 3: "draining", 4: "failed"}


@dataclass(frozen=True)
class Health:
    """`status` is `ready`, `loading`, `draining` or `failed`, or `status N` for one of a later version."""

    status: str
    version: str = ""
    uptime: float = 0.0


@dataclass(frozen=True)
class Model:
    """A model that the server answers for."""

    name: str
    architecture: str = ""
    format: str = ""
    device: str = ""
    context_length: int = 0
    vocabulary_size: int = 0
    parameters: int = 0
    cache_tokens: int = 0


@dataclass(frozen=True)
class Embedding:
    """What the model makes of a prompt as a whole."""

    vector: tuple[float, ...]
    prompt_tokens: int = 0


Reply = Union[Health, tuple[Model, ...], tuple[int, ...], str, dict[str, int], Embedding]

_MODEL_FIELDS: dict[int, Reader] = {
    1: text(), 2: text(), 3: text(), 4: text(), 5: number("I"), 6: number("I"), 7: number("Q"), 8: number("Q"),
}  # fmt: skip


def _model(value: bytes) -> Model:
    fields = wire.decode_fields(value, 0, _MODEL_FIELDS, "a model")
    return Model(*(fields.get(key, "" if key < 5 else 0) for key in _MODEL_FIELDS))


def _statistic(value: bytes) -> tuple[str, int]:
    (count,) = unpack(struct.Struct("<Q"), value, "a statistic")
    return text(256)(value[8:]), count


def decode_reply(method: int, payload: bytes) -> Reply:
    """The answer to a CALL of this method."""
    known: dict[int, dict[int, Reader]] = {
        HEALTH: {1: number("B"), 2: text(), 3: number("Q")},
        MODELS: {0x4005: _model},
        TOKENIZE: {3: wire.ids},
        DETOKENIZE: {2: text()},
        STATISTICS: {0x4006: _statistic},
        EMBED: {7: wire.floats, 16: number("I")},
    }
    fields = wire.decode_fields(payload, 0, known[method], "REPLY")
    if method == HEALTH:
        status = fields.get(1, 0)
        return Health(HEALTH_STATES.get(status, f"status {status}"), fields.get(2, ""), fields.get(3, 0) / 1000)
    if method == MODELS:
        return tuple(fields.get(0x4005, ()))
    if method == TOKENIZE:
        return tuple(fields.get(3, ()))
    if method == DETOKENIZE:
        return str(fields.get(2, ""))
    if method == EMBED:
        return Embedding(fields.get(7, ()), fields.get(16, 0))
    return dict(fields.get(0x4006, ()))
