"""The one exception, and the codes it carries."""

from __future__ import annotations

import enum


class Code(enum.IntEnum):
    """Why something failed. Codes below 0x10000 come from the wire (section 7.3), the others from this side."""

    PROTOCOL = 1
    FRAME_TOO_LARGE = 2
    VERSION = 3
    UNAUTHENTICATED = 4
    FORBIDDEN = 5
    INVALID = 6
    TOO_LARGE = 7
    NOT_FOUND = 8
    RATE_LIMITED = 9
    OVERLOADED = 10
    QUEUE_TIMEOUT = 11
    DEADLINE = 12
    CANCELLED = 13
    SLOW_CONSUMER = 14
    DRAINING = 15
    MODEL_OUTPUT = 16
    ENGINE = 17
    DEVICE = 18
    INTERNAL = 19
    SUPERSEDED = 20

    CONNECTION = 0x10000
    """The connection could not be made, or was lost and the work on it could not be continued."""
    CHECKSUM = 0x10001
    """The text that arrived is not the text that was sent."""
    CLOSED = 0x10002
    """The client or the stream was closed by the application."""

    @classmethod
    def of(cls, value: int) -> int:
        """The named code, or the number itself when a later version of the protocol brought it."""
        try:
            return cls(value)
        except ValueError:
            return value


class LMError(Exception):
    """The only exception this package raises about servers, connections and requests.

    `code` says what happened, `retryable` whether the same request can succeed later or elsewhere, and `retry_after` how
    many seconds the server asks to wait first. `usage` is there when a generation that had begun failed.
    """

    def __init__(
        self, code: int, message: str, *, retryable: bool = False, retry_after: float = 0.0, usage: object = None
    ) -> None:
        self.code = Code.of(code)
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after
        self.usage = usage
        name = self.code.name if isinstance(self.code, Code) else f"code {code}"
        super().__init__(f"{name}: {message}" if message else name)


class Violation(Exception):
    """The peer broke the protocol; the connection ends with this code."""

    def __init__(self, message: str, code: Code = Code.PROTOCOL) -> None:
        super().__init__(message)
        self.code = code
