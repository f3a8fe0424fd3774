"""Frames and fields: sections 4 and 4.1 of the specification, and nothing about their meaning."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import Violation

PREFACE = b"\x89LMC\r\n\x1a\n"
HEADER_SIZE = 8
LAST_STREAM = 2**31 - 1
FIRST_PAYLOAD_LIMIT = 4_096
CRITICAL_TYPE = 0x80
REPEATABLE_KEY = 0x4000
CRITICAL_KEY = 0x8000

_HEADER = struct.Struct("<II")
_FIELD = struct.Struct("<HI")


class Kind(enum.IntEnum):
    """Types of frames, their critical bit included."""

    HELLO = 0x81
    PING = 0x82
    PONG = 0x83
    GOAWAY = 0x84
    MAX_STREAMS = 0x86
    GENERATE = 0x90
    CALL = 0x91
    CREDIT = 0x92
    CANCEL = 0x93
    RESUME = 0x94
    ACCEPT = 0xA0
    TOKENS = 0xA1
    PROGRESS = 0x22
    FINISH = 0xA2
    ERROR = 0xA3
    REPLY = 0xA4


def frame(kind: int, stream: int, payload: bytes = b"") -> bytes:
    return _HEADER.pack(len(payload) | kind << 24, stream) + payload


def header(data: bytes | bytearray | memoryview, offset: int) -> tuple[int, int, int]:
    """Length of the payload, type and stream of the frame that starts at `offset`."""
    word, stream = _HEADER.unpack_from(data, offset)
    return word & 0xFFFFFF, word >> 24, stream


def unpack(layout: struct.Struct, payload: bytes, what: str, *, exact: bool = False) -> tuple[Any, ...]:
    """The fixed part of a payload."""
    if len(payload) < layout.size or (exact and len(payload) != layout.size):
        raise Violation(f"{what} has {len(payload)} bytes instead of {layout.size}")
    return layout.unpack_from(payload)


def encode_fields(fields: Iterable[tuple[int, bytes]]) -> bytes:
    """Fields in the order of their keys; those of one repeatable key keep theirs."""
    return b"".join(_FIELD.pack(key, len(value)) + value for key, value in sorted(fields, key=lambda field: field[0]))


Reader = Callable[[bytes], Any]


def decode_fields(payload: bytes, offset: int, known: Mapping[int, Reader], what: str) -> dict[int, Any]:
    """The known fields from `offset` on: a value a key, a list of values for a repeatable key."""
    found: dict[int, Any] = {}
    last = -1
    while offset < len(payload):
        if len(payload) - offset < _FIELD.size:
            raise Violation(f"{what} ends within a field's head")
        key, length = _FIELD.unpack_from(payload, offset)
        offset += _FIELD.size
        if length > len(payload) - offset:
            raise Violation(f"field {key:#x} of {what} exceeds its frame")
        if key < last or (key == last and not key & REPEATABLE_KEY):
            raise Violation(f"field {key:#x} of {what} follows {last:#x}")
        last = key
        value = payload[offset : offset + length]
        offset += length
        if reader := known.get(key):
            if key & REPEATABLE_KEY:
                found.setdefault(key, []).append(reader(value))
            else:
                found[key] = reader(value)
        elif key & CRITICAL_KEY:
            raise Violation(f"{what} has the unknown critical field {key:#x}")
    return found


def number(layout: str) -> Reader:
    """Reads a number of exactly this layout."""
    form = struct.Struct("<" + layout)

    def read(value: bytes) -> int | float:
        if len(value) != form.size:
            raise Violation(f"a number of {form.size} bytes has {len(value)}")
        result: int | float = form.unpack(value)[0]
        return result

    return read


def text(limit: int | None = None) -> Reader:
    """Reads UTF-8 of at most `limit` bytes."""

    def read(value: bytes) -> str:
        if limit is not None and len(value) > limit:
            raise Violation(f"a text has {len(value)} bytes; {limit} are allowed")
        return utf8(value)

    return read


def opaque(size: int) -> Reader:
    """Reads exactly `size` bytes."""

    def read(value: bytes) -> bytes:
        if len(value) != size:
            raise Violation(f"a value of {size} bytes has {len(value)}")
        return value

    return read


def ids(value: bytes) -> tuple[int, ...]:
    if len(value) % 4:
        raise Violation(f"a list of ids has {len(value)} bytes")
    return struct.unpack(f"<{len(value) // 4}i", value)


def floats(value: bytes) -> tuple[float, ...]:
    if len(value) % 4:
        raise Violation(f"a list of numbers has {len(value)} bytes")
    return struct.unpack(f"<{len(value) // 4}f", value)


def utf8(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Violation(f"a text is not UTF-8: {error.reason} at byte {error.start}") from None
