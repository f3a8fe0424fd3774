"""A generation as the application sees it: one unbroken stream of tokens, or one clear error."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Protocol

from .connection import Accepted, Disconnected, Failed, Finished, GoingAway, Progressed, TokensArrived
from .errors import Code, LMError
from .link import Inbox, Link
from .messages import UNLIMITED, Accept, Finish, Progress, Request, Token
from .retry import ATTEMPTS, RetryBudget, backoff

_UNREPORTED = 128
"""Tokens after which consumption is reported even when the limit is far away: a server keeps no more than it must."""

USER, DEADLINE, UNREAD = 1, 2, 3
"""Reasons of CANCEL."""


class LinkSource(Protocol):
    """What a stream needs of its client."""

    retry_budget: RetryBudget

    def link(self) -> Link: ...


class TokenStream(Iterator[Token]):
    """The tokens of one generation, in order and each once, over as many connections as it takes.

    Iterate to consume: credit is granted as the loop goes on, so a slow loop slows its own generation. Leaving the `with`
    block, dropping the stream or `close` end it on the server; `cancel` does too, and lets the loop run to the end.
    One thread reads; `cancel` may come from any.
    """

    _is_closed = True
    """Until it was opened there is nothing to end."""

    def __init__(self, source: LinkSource, request: Request, window: int) -> None:
        if not 0 <= window <= UNLIMITED:
            raise LMError(Code.INVALID, f"a window of {window} tokens; 0 to {UNLIMITED} are possible")
        self._source = source
        self._request = request
        self._window = window
        self._limit = window
        self._pending: deque[Token] = deque()
        self._received = 0
        self._crc: int | None = 0
        self._consumed = 0
        self._reported = 0
        self._attempt = 0
        self._lost_at: float | None = None
        self._is_cancelled = False
        self._grace = 0.0
        self.accept: Accept | None = None
        """What the server said when it took the request."""
        self.finish: Finish | None = None
        """How the generation ended; `None` until it did."""
        self.progress: Progress | None = None
        """What the stream last waited for."""
        self._inbox: Inbox = SimpleQueue()
        self._link: Link
        self._stream: int
        source.retry_budget.earn()
        self._open_again_until_sent()
        self._is_closed = False

    # What the application does.

    def __iter__(self) -> TokenStream:
        return self

    def __next__(self) -> Token:
        self._consume()
        while not self._pending:
            if self.finish is not None or self._is_closed:
                raise StopIteration
            self._wait()
        return self._pending.popleft()

    def text(self) -> str:
        """The text of all tokens that are still to come."""
        return "".join(token.text for token in self)

    def wait_until_accepted(self) -> Accept:
        """Returns when the server has queued the request."""
        while self.accept is None:
            if self._is_closed:
                raise LMError(Code.CLOSED, "the stream ended before it was accepted")
            self._wait()
        return self.accept

    def grant(self, limit: int) -> None:
        """Lets tokens with an index below `limit` come, whatever was consumed; for those who manage credit by hand."""
        self._limit = max(self._limit, min(limit, UNLIMITED))
        self._link.grant(self._stream, self._limit, self._received)

    def cancel(self, reason: int = USER) -> None:
        """Asks the server to end the generation; tokens already sent still come."""
        self._is_cancelled = True
        if self.finish is None and not self._is_closed:
            self._link.cancel(self._stream, reason)

    def close(self) -> None:
        """Ends the generation and forgets it; what was not read is lost."""
        if not self._is_closed:
            self._is_closed = True
            self._pending.clear()
            if self.finish is None:
                self._link.abandon(self._stream, UNREAD)

    def __enter__(self) -> TokenStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    # Credit.

    def _consume(self) -> None:
        """Counts the token handed out last, and grants more when half the window is used."""
        consumed = self._received - len(self._pending)
        if consumed == self._consumed or self.finish is not None:
            return
        self._consumed = consumed
        unused = self._limit - consumed
        if unused <= self._window // 2:
            self._limit = min(max(self._limit, consumed + self._window), UNLIMITED)
        elif not self._must_report():
            return
        self._reported = consumed
        self._link.grant(self._stream, self._limit, self._received)

    def _must_report(self) -> bool:
        is_kept = self.accept is not None and self.accept.resume_token is not None
        return is_kept and self._consumed - self._reported >= _UNREPORTED

    # What the server does.

    def _wait(self) -> None:
        """Takes the next event."""
        event = self._inbox.get()
        if isinstance(event, TokensArrived):
            self._pending.extend(event.tokens)
            self._received += len(event.tokens)
            self._crc = event.crc32c
        elif isinstance(event, Accepted):
            self.accept = event.accept
            self._grace = self._link.resume_grace
            self._attempt = 0
            self._lost_at = None
            if self._is_cancelled:
                self._link.cancel(self._stream, USER)
        elif isinstance(event, Progressed):
            self.progress = event.progress
        elif isinstance(event, Finished):
            self.finish = event.finish
        elif isinstance(event, Failed):
            self._failed(event.error)
        elif isinstance(event, GoingAway):
            self._open_again_until_sent()
        elif isinstance(event, Disconnected):
            self._lost(event.error)

    def _fail(self, error: LMError) -> None:
        self._is_closed = True
        raise error

    def _failed(self, error: LMError) -> None:
        """An ERROR on the stream; worth another attempt if this one was not accepted and the server says so."""
        if self._is_cancelled and error.code == Code.CANCELLED:
            self._is_closed = True
        elif error.retryable and (self.accept is None or self._lost_at is not None):
            self._try_again(error)
        else:
            self._fail(error)

    def _lost(self, error: LMError) -> None:
        """The connection is gone."""
        is_final = error.code in (Code.CLOSED, Code.PROTOCOL, Code.FRAME_TOO_LARGE, Code.UNAUTHENTICATED)
        if is_final or self._is_cancelled or (self.accept is not None and self.accept.resume_token is None):
            self._fail(error)
        if self.accept is not None and self._lost_at is None:
            self._lost_at = time.monotonic()
        self._try_again(error)

    def _try_again(self, error: LMError) -> None:
        """Waits and sends the request, or its continuation, once more; raises `error` when there is no point."""
        while True:
            if self._lost_at is not None:
                if time.monotonic() - self._lost_at > self._grace:
                    self._fail(error)
            else:
                if self._attempt + 1 >= ATTEMPTS or not self._source.retry_budget.spend():
                    self._fail(error)
            time.sleep(backoff(self._attempt, error.retry_after))
            self._attempt += 1
            try:
                return self._open()
            except LMError as failure:
                if not failure.retryable:
                    self._fail(failure)
                error = failure

    def _open_again_until_sent(self) -> None:
        """Opens at once, on whatever connection there is."""
        try:
            self._open()
        except LMError as error:
            if not error.retryable:
                self._fail(error)
            self._try_again(error)

    def _open(self) -> None:
        """Opens a stream: the request itself, or its continuation at the first token that has not arrived."""
        self._inbox = SimpleQueue()
        token = self.accept.resume_token if self.accept is not None else None
        link = self._source.link()
        if token is not None:
            at, limit, crc = self._received, self._limit, self._crc
            self._stream = link.open(lambda connection: connection.resume(token, at, limit, crc), self._inbox)
        else:
            payload, credit = self._request.encode(self._limit), self._limit
            self._stream = link.open(lambda connection: connection.generate(payload, credit), self._inbox)
        self._link = link
