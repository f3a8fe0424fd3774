"""A client of one server."""

from __future__ import annotations

import dataclasses
import os
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from . import messages, transport
from .connection import Connection, Disconnected, Failed, GoingAway, Replied
from .errors import Code, LMError
from .link import Inbox, Link
from .messages import Embedding, Health, Model, Prompt, Reply, Request
from .retry import ATTEMPTS, RetryBudget, backoff
from .stream import DEADLINE, USER, TokenStream

VERSION = "1.0.0"
WINDOW = 256
"""Tokens a stream may have ahead of its reader."""


class Client:
    """A client of the server at `address`: `HOST`, `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`.

    It connects when it is first asked something, again when the connection was lost, and to a fresh connection when the
    server sends it away. All methods can be called from any thread, and any number of streams can be open at a time.

    `key` is the bearer key; `tls` is True for the system's certificate authorities, or a context of your own (which may
    carry a client certificate). `window` is the number of tokens a stream may have ahead of its reader.
    """

    def __init__(
        self,
        address: str = f"127.0.0.1:{transport.DEFAULT_PORT}",
        *,
        key: str | None = None,
        tls: bool | ssl.SSLContext = False,
        server_name: str | None = None,
        agent: str = f"lmcall-python/{VERSION}",
        connect_timeout: float = 10.0,
        window: int = WINDOW,
    ) -> None:
        self._address = transport.parse_address(address)
        if key is not None and tls is False and not transport.is_local(self._address):
            raise LMError(Code.INVALID, "a key must not be sent over plain TCP to another machine; use tls")
        self._key = key
        self._tls = transport.tls_context(tls)
        self._server_name = server_name
        self._agent = agent
        self._connect_timeout = connect_timeout
        self._window = window
        self._lock = threading.Lock()
        self._links: list[Link] = []
        self._is_closed = False
        self.retry_budget = RetryBudget()

    # Generations.

    def generate(self, prompt: Prompt | Request, *, window: int | None = None, **options: Any) -> TokenStream:
        """Asks for tokens. The options are the fields of `Request`: `max_tokens=16, temperature=0, stop=["END"]`.

        `window` replaces the client's for this stream; UNLIMITED lets everything come as fast as it is made. A stream
        resumes over a lost connection; it also gets an idempotency key, so that a connection lost before the server's
        first answer does not make the server do the work twice.
        """
        request = prompt if isinstance(prompt, Request) else Request(prompt)
        request = dataclasses.replace(request, **options)
        if request.resumable and request.idempotency_key is None:
            request = dataclasses.replace(request, idempotency_key=os.urandom(16))
        return TokenStream(self, request, self._window if window is None else window)

    # Calls.

    def health(self, *, timeout: float = 30.0) -> Health:
        """Whether the server can answer."""
        reply = self._call(messages.HEALTH, messages.encode_call(messages.HEALTH), timeout)
        assert isinstance(reply, Health)
        return reply

    def models(self, *, timeout: float = 30.0) -> tuple[Model, ...]:
        """The models that the server answers for."""
        reply = self._call(messages.MODELS, messages.encode_call(messages.MODELS), timeout)
        assert isinstance(reply, tuple)
        return reply  # type: ignore[return-value]

    def tokenize(
        self,
        prompt: Prompt,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        template_arguments: Mapping[str, Any] | None = None,
        model: str | None = None,
        timeout: float = 30.0,
    ) -> tuple[int, ...]:
        """The ids of a text as it is, or of the messages of a conversation in the model's template, which may be told
        tools and arguments as in `Request`."""
        payload = messages.encode_call(
            messages.TOKENIZE, model=model, prompt=prompt, tools=tools, template_arguments=template_arguments
        )
        reply = self._call(messages.TOKENIZE, payload, timeout)
        assert isinstance(reply, tuple)
        return reply  # type: ignore[return-value]

    def detokenize(self, tokens: Sequence[int], *, model: str | None = None, timeout: float = 30.0) -> str:
        """The text of these ids; U+FFFD stands for bytes that are no character."""
        payload = messages.encode_call(messages.DETOKENIZE, model=model, tokens=tokens)
        reply = self._call(messages.DETOKENIZE, payload, timeout)
        assert isinstance(reply, str)
        return reply

    def embed(
        self,
        prompt: Prompt,
        *,
        pooling: str = "last",
        normalize: bool = False,
        model: str | None = None,
        timeout: float = 30.0,
    ) -> Embedding:
        """Hidden states of a text as it is, or of the messages of a conversation in the model's template: the last token's,
        or their mean (`pooling="mean"`), scaled to the length 1 with `normalize`. Calls of several threads share the
        server's steps. A server that is too old for this answers NOT_FOUND.
        """
        payload = messages.encode_call(
            messages.EMBED, model=model, prompt=prompt, pooling=pooling, normalize=normalize, timeout=timeout
        )
        reply = self._call(messages.EMBED, payload, timeout)
        assert isinstance(reply, Embedding)
        return reply

    def statistics(self, *, timeout: float = 30.0) -> dict[str, int]:
        """The server's counters by name."""
        reply = self._call(messages.STATISTICS, messages.encode_call(messages.STATISTICS), timeout)
        assert isinstance(reply, dict)
        return reply

    def _call(self, method: int, payload: bytes, timeout: float) -> Reply:
        """Asks until it is answered: a call changes nothing and may be repeated."""
        self.retry_budget.earn()
        end = time.monotonic() + timeout
        attempt = 0
        while True:
            try:
                return self._ask(method, payload, end)
            except LMError as error:
                attempt += 1
                wait = backoff(attempt, error.retry_after)
                is_late = time.monotonic() + wait >= end
                if not error.retryable or attempt >= ATTEMPTS or is_late or not self.retry_budget.spend():
                    raise
            time.sleep(wait)

    def _ask(self, method: int, payload: bytes, end: float) -> Reply:
        inbox: Inbox = SimpleQueue()
        link = self.link()
        stream = link.open(
            lambda connection: connection.call(method, payload), inbox, max(0.0, end - time.monotonic())
        )
        try:
            event = inbox.get(timeout=max(0.001, end - time.monotonic()))
        except Empty:
            link.abandon(stream, DEADLINE)
            raise LMError(Code.DEADLINE, "the call was not answered in time") from None
        except BaseException:
            link.abandon(stream, USER)
            raise
        if isinstance(event, Replied):
            return event.reply
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, GoingAway):
            raise LMError(Code.DRAINING, "the server takes no more calls on this connection", retryable=True)
        assert isinstance(event, Disconnected)
        raise event.error

    # The connection.

    def link(self) -> Link:
        """The connection on which to open a stream: the one there is, or a new one."""
        with self._lock:
            if self._is_closed:
                raise LMError(Code.CLOSED, "the client was closed")
            self._links = [link for link in self._links if link.is_alive]
            if self._links and self._links[-1].is_usable:
                return self._links[-1]
            connected = transport.connect(self._address, self._tls, self._server_name, self._connect_timeout)
            link = Link(connected, Connection(agent=self._agent, key=self._key))
            try:
                link.wait_until_ready(self._connect_timeout)
            except LMError:
                link.close()
                raise
            self._links.append(link)
            return link

    def close(self) -> None:
        """Ends the connections; streams that are open fail with code CLOSED."""
        with self._lock:
            self._is_closed = True
            links, self._links = self._links, []
        for link in links:
            link.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
