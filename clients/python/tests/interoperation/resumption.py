"""Streams that outlive their connection."""

from __future__ import annotations

import random
from typing import Any

from lmcall import Code, Request

from .forwarder import Forwarder
from .session import Session, Skip, Target, cut_stream, require

GREEDY: dict[str, Any] = {"temperature": 0, "ignore_end": True}


def _interrupted(target: Target, key: str | None = None, **options: Any) -> tuple[bytes, list[int]]:
    """A resumable generation of 8 tokens whose connection is lost after 4; its resume token, and the 4."""
    session = target.session(key)
    require(session.connection.hello, "no HELLO")
    if not session.connection.hello.resume_grace:  # type: ignore[union-attr]
        session.cut()
        raise Skip("the server announces no resume grace")
    stream = session.generate(credit=4, **options)
    token = session.accepted(stream).accept.resume_token
    require(token, "ACCEPT carries no resume token")
    ids = session.tokens(stream, 4)
    session.cut()
    return token, ids  # type: ignore[return-value]


def _reference(target: Target) -> list[int]:
    with target.session() as session:
        stream = session.generate()
        ids = session.tokens(stream, 8)
        session.finish(stream)
        return ids


def resume_mid(target: Target) -> None:
    """The client library: one unbroken text over several lost connections."""
    with target.client() as client:
        whole = client.generate("Hello", max_tokens=60, **GREEDY).text()
        for places in ([0], [1], [30], [59], [3, 4, 40]):
            text = ""
            stream = client.generate("Hello", max_tokens=60, window=8, **GREEDY)
            for token in stream:
                text += token.text
                if token.index in places:
                    cut_stream(stream)
            require(text == whole, f"cut at {places}: {text!r} instead of {whole!r}")


def resume_after_any_byte(target: Target) -> None:
    """Wherever the first connection breaks, the text is that of an unbroken run."""

    def ask(cut_after: int | None) -> tuple[str, int]:
        with Forwarder(target.address, cut_after) as way, target.client(through=way.address) as client:
            return client.generate("Hello", max_tokens=12, window=4, **GREEDY).text(), way.count

    whole, size = ask(None)
    chance = random.Random(1)
    for cut_after in sorted(chance.sample(range(1, size), 50)):
        text, _ = ask(cut_after)
        require(text == whole, f"cut after {cut_after} of {size} bytes: {text!r} instead of {whole!r}")


def resume_twice(target: Target) -> None:
    """From the first token not seen, and from one that was."""
    whole = _reference(target)
    token, ids = _interrupted(target)
    with target.session() as session:
        stream = session.connection.resume(token, 4, 6)
        accept = session.accepted(stream).accept
        require(accept.first_index == 4 and accept.resume_token == token, accept)
        ids += session.tokens(stream, 2)
        session.cut()
    with target.session() as session:
        stream = session.connection.resume(token, 4, 8)
        session.accepted(stream)
        again = session.tokens(stream, 4)
        require(session.finish(stream).finish.tokens == 8, "FINISH counts other tokens")
    require(ids[:4] + again == whole and again[:2] == ids[4:], f"{ids}, {again}, {whole}")


def resume_keeps_what_was_not_consumed(target: Target) -> None:
    """Tokens that nobody reported as consumed can be asked for again, from the first on; and the checksum is of them all."""
    whole = _reference(target)
    token, _ = _interrupted(target)
    with target.session() as session:
        stream = session.connection.resume(token, 0, 100, crc32c=0)
        require(session.accepted(stream).accept.first_index == 0, "another index")
        require(session.tokens(stream, 8) == whole, "other tokens")
        session.finish(stream)


def resume_after_the_end(target: Target) -> None:
    """FINISH may have been lost with the connection; it is kept."""
    token, ids = _interrupted(target, max_tokens=4)
    with target.session() as session:
        stream = session.connection.resume(token, len(ids), 100)
        session.accepted(stream)
        finish = session.finish(stream).finish
        require((finish.reason, finish.tokens) == ("length", 4), finish)


def resume_goes_on_without_a_connection(target: Target) -> None:
    """As far as the credit reached."""
    with target.session() as session:
        stream = session.generate(credit=8)
        token = session.accepted(stream).accept.resume_token or b""
        session.cut()
    require(len(token) == 16, "ACCEPT carries no resume token")
    with target.session() as session:
        stream = session.connection.resume(token, 0, 8)
        session.accepted(stream)
        require(session.tokens(stream, 8) == _reference(target), "other tokens")
        session.finish(stream)


def resume_consumed(target: Target) -> None:
    """Tokens below what a RESUME asked for count as consumed and are gone."""
    token, _ = _interrupted(target)
    with target.session() as session:
        session.accepted(session.connection.resume(token, 3, 3))
        session.cut()
    with target.session() as session:
        require(session.error(session.connection.resume(token, 2, 8)).code == Code.NOT_FOUND, "not NOT_FOUND")


def resume_wrong_index(target: Target) -> None:
    token, _ = _interrupted(target)
    with target.session() as session:
        error = session.error(session.connection.resume(token, 1_000_000, 2**32 - 1))
        require(error.code == Code.INVALID, error)


def resume_unknown(target: Target) -> None:
    with target.session() as session:
        error = session.error(session.connection.resume(bytes(16), 0, 8))
        require(error.code == Code.NOT_FOUND, error)


def resume_other_identity(target: Target) -> None:
    if target.other_key is None:
        raise Skip("needs a key of somebody else, --other-key")
    token, _ = _interrupted(target)
    with target.session(target.other_key) as session:
        error = session.error(session.connection.resume(token, 4, 8))
        require(error.code == Code.NOT_FOUND, error)
    with target.session() as session:
        stream = session.connection.resume(token, 4, 8)
        session.accepted(stream)
        session.tokens(stream, 4)
        session.finish(stream)


def resume_supersedes(target: Target) -> None:
    """The last RESUME wins, on the same connection too."""
    with target.session() as session:
        first = session.generate(credit=4)
        token = session.accepted(first).accept.resume_token or b""
        ids = session.tokens(first, 4)
        second = session.connection.resume(token, 2, 8)
        require(session.error(first).code == Code.SUPERSEDED, "the first stream goes on")
        session.accepted(second)
        require(session.tokens(second, 6)[:2] == ids[2:], "other tokens")
        session.finish(second)


def resume_cancelled(target: Target) -> None:
    """CANCEL ends the generation whichever stream carries it."""
    token, _ = _interrupted(target)
    with target.session() as session:
        stream = session.connection.resume(token, 4, 4)
        session.accepted(stream)
        session.connection.cancel(stream)
        require(session.finish(stream).finish.reason == "cancelled", "another end")


def not_resumable(target: Target) -> None:
    with target.session() as session:
        stream = session.generate(credit=1, resumable=False)
        require(session.accepted(stream).accept.resume_token is None, "a resume token that was not asked for")


def _keyed(session: Session, key: bytes, credit: int, max_tokens: int = 8) -> int:
    request = Request("Hello", max_tokens=max_tokens, idempotency_key=key, temperature=0, ignore_end=True)
    return session.connection.generate(request.encode(credit), credit)


def idempotent_reopen(target: Target) -> None:
    """The same GENERATE again finds the work of the first; only the credit may differ."""
    with target.session() as session:
        stream = _keyed(session, b"idempotent_reope", 4)
        first = session.accepted(stream).accept
        ids = session.tokens(stream, 4)
        session.cut()
    with target.session() as session:
        stream = _keyed(session, b"idempotent_reope", 100)
        again = session.accepted(stream).accept
        require(again.request_id == first.request_id, "another request was started")
        require(session.tokens(stream, 8)[:4] == ids, "other tokens")
        session.finish(stream)


def idempotent_with_another_body(target: Target) -> None:
    with target.session() as session:
        session.accepted(_keyed(session, b"idempotent_other", 0))
        error = session.error(_keyed(session, b"idempotent_other", 0, max_tokens=9))
        require(error.code == Code.INVALID, error)


def idempotent_key_of_somebody_else(target: Target) -> None:
    if target.other_key is None:
        raise Skip("needs a key of somebody else, --other-key")
    with target.session() as one, target.session(target.other_key) as other:
        mine = one.accepted(_keyed(one, b"idempotent_mine!", 0)).accept
        theirs = other.accepted(_keyed(other, b"idempotent_mine!", 0)).accept
        require(mine.request_id != theirs.request_id, "somebody else's generation")


CASES = [
    resume_mid, resume_after_any_byte, resume_twice, resume_keeps_what_was_not_consumed, resume_after_the_end,
    resume_goes_on_without_a_connection, resume_consumed, resume_wrong_index, resume_unknown, resume_other_identity,
    resume_supersedes, resume_cancelled, not_resumable, idempotent_reopen, idempotent_with_another_body,
    idempotent_key_of_somebody_else,
]  # fmt: skip
