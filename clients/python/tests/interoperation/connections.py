"""Connections: handshake, keep-alive, calls, violations, and leaving."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

from lmcall import Client, Code, LMError, wire
from lmcall.connection import Connection, Disconnected, GoingAway, StreamsGranted
from lmcall.messages import decode_error

from .session import Session, Skip, Target, expect_error, require

VECTORS = Path(__file__).resolve().parents[4] / "Tests" / "Vectors"


def hello_ok(target: Target) -> None:
    with target.session() as session:
        hello = session.connection.hello
        require(hello and hello.max_payload >= 65_536 and hello.agent, hello)


def wrong_key(target: Target) -> None:
    if target.key is None:
        raise Skip("the server wants no key")
    for key in (target.key + "0", "", "k" * 1_024):
        with Session(target.socket(), Connection(key=key)) as session:
            expect_error(Code.UNAUTHENTICATED, lambda session=session: session.until(StreamsGranted))  # type: ignore[misc]


def without_alpn(target: Target) -> None:
    """A TLS client that does not say what it will speak gets no further."""
    context = target.tls()
    if context is None:
        raise Skip("needs TLS")
    host, port = target.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 60) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as connected:
                connected.sendall(Connection().data_to_send())
                require(connected.recv(1) == b"", "the server talks without ALPN")
        except (ssl.SSLError, ConnectionError):
            pass


def tls_1_2(target: Target) -> None:
    context = target.tls()
    if context is None:
        raise Skip("needs TLS")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Client(target.address, key=target.key, tls=context) as client:
        require(client.health().status == "ready", "not ready")


def health(target: Target) -> None:
    with target.client() as client:
        answer = client.health()
        require(answer.status == "ready" and answer.version, answer)


def models(target: Target) -> None:
    with target.client() as client:
        found = client.models()
        require(found and all(model.name and model.context_length and model.vocabulary_size for model in found), found)


def statistics(target: Target) -> None:
    """The key, if there is one, needs the role for it."""
    with target.client() as client:
        names = list(client.statistics())
        require(names and all(name == name.lower() and name for name in names), names)


def tokenize(target: Target) -> None:
    with target.client() as client:
        ids = client.tokenize("The quick brown fox")
        require(ids and client.detokenize(ids) == "The quick brown fox", ids)
        require(client.tokenize("") == (), "an empty text has tokens")
        require(client.detokenize([]) == "", "no ids have a text")
        size = client.models()[0].vocabulary_size
        for wrong in (size, -1, 2**31 - 1):
            expect_error(Code.INVALID, lambda wrong=wrong: client.detokenize([wrong]))  # type: ignore[misc]


def many_calls_at_once(target: Target) -> None:
    with target.session() as session:
        payload = struct.pack("<HH", 1, 0)
        streams = [session.connection.call(1, payload) for _ in range(100)]
        for stream in reversed(streams):
            session.reply(stream)


def ping(target: Target) -> None:
    with target.session() as session:
        for _ in range(20):
            session.round_trip()


def unknown_frames_are_skipped(target: Target) -> None:
    with target.session() as session:
        for kind in range(0x70, 0x80):
            session.send(wire.frame(kind, kind, b"x" * kind))
        session.round_trip()


def byte_by_byte(target: Target) -> None:
    connection = Connection(key=target.key)
    connected = target.socket()
    for byte in connection.data_to_send():
        connected.sendall(bytes([byte]))
    with Session(connected, connection) as session:
        session.until(StreamsGranted)
        stream = session.connection.call(1, struct.pack("<HH", 1, 0))
        for byte in session.connection.data_to_send():
            connected.sendall(bytes([byte]))
        session.reply(stream)


def half_close(target: Target) -> None:
    if target.authority:
        raise Skip("TLS sessions of Python cannot be half closed")
    with target.session() as session:
        stream = session.generate()
        session.end_sending()
        session.tokens(stream, 8)
        session.finish(stream)


def _vectors(*names: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in names:
        found += json.loads((VECTORS / f"{name}.json").read_text())["vectors"]
    return [
        vector for vector in found
        if vector["end"] == "server" and not any("out" in step for step in vector["steps"])
    ]  # fmt: skip


def vectors_of_values(target: Target) -> None:
    """Requests that ask for what cannot be are answered on their stream."""
    with target.session() as session:
        for vector in _vectors("content", "values"):
            *_, step = vector["steps"]
            stream = session.connection.call(1, b"")
            session.connection.data_to_send()
            session.send(bytes.fromhex(step["in"])[:4] + stream.to_bytes(4, "little") + bytes.fromhex(step["in"])[8:])
            error = session.error(stream)
            require(error.code == Code[step["code"]], f"{vector['name']}: {error}")


def vectors_of_violations(target: Target) -> None:
    """What section 7.1 calls malformed ends the connection with its code, and without a word where section 3.2 says so."""
    for vector in _vectors("handshake", "states", "streams", "malformed", "extensions", "utf8", "resume"):
        *before, last = vector["steps"]
        if last.get("reaction") not in ("fail", "close") or (last.get("code") == "VERSION" and target.key):
            continue
        if any(step["meaning"]["frame"] == "CALL" for step in before if "meaning" in step):
            continue  # a live server answers it before the next frame
        received = b""
        with target.session().socket if vector["greeted"] else target.socket() as connected:
            try:
                # At once, so that a live server answers none of it before the last byte.
                connected.sendall(b"".join(bytes.fromhex(step["in"]) for step in [*before, last]))
                while piece := connected.recv(65_536):
                    received += piece
            except ConnectionError:
                pass
            except TimeoutError:
                require(False, f"{vector['name']}: the connection stays open")
        code = _error_in(received)
        expected = Code[last["code"]] if last["reaction"] == "fail" else None
        require(code == expected, f"{vector['name']}: {code} instead of {expected}")


def _error_in(received: bytes) -> int | None:
    """The code of an ERROR on stream 0 among these frames."""
    offset = 0
    while len(received) - offset >= wire.HEADER_SIZE:
        length, kind, stream = wire.header(received, offset)
        offset += wire.HEADER_SIZE
        if kind == wire.Kind.ERROR and stream == 0:
            return decode_error(received[offset : offset + length]).code
        offset += length
    return None


def drain(target: Target) -> None:
    """SIGTERM: a warning, then the last stream; what is open goes on, and the server is gone afterwards."""
    if target.process is None:
        raise Skip("needs the server's process id, --process")
    with target.session() as session:
        stream = session.generate(credit=2, max_tokens=6)
        session.tokens(stream, 2)
        os.kill(target.process, signal.SIGTERM)
        goaway = session.until(GoingAway)
        if not goaway.goaway.is_final:
            goaway = session.until(GoingAway)
        require(goaway.goaway.is_final and goaway.goaway.last_stream >= stream and not goaway.refused, goaway)
        session.connection.grant(stream, 6, 2)
        session.tokens(stream, 4)
        session.finish(stream)
        try:
            session.until(Disconnected)
        except (LMError, AssertionError):
            pass
    try:
        target.socket().close()
    except LMError:
        return
    require(False, "the server still accepts connections")


CASES = [
    hello_ok, wrong_key, without_alpn, tls_1_2, health, models, statistics, tokenize, many_calls_at_once, ping,
    unknown_frames_are_skipped, byte_by_byte, half_close, vectors_of_values, vectors_of_violations,
]  # fmt: skip
LAST = [drain]
"""After these the server is gone."""
