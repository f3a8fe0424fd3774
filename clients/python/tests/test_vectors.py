"""The test vectors of the specification, as far as they concern a client."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

from lmcall import connection as core
from lmcall import messages
from lmcall.connection import Connection
from lmcall.crc32c import crc32c
from lmcall.errors import Code, LMError
from lmcall.messages import Message, Request

FOLDER = Path(__file__).resolve().parents[3] / "Tests" / "Vectors"
METHODS = {"health": 1, "models": 2, "tokenize": 3, "detokenize": 4, "statistics": 5, "embed": 6}


def vectors(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())["vectors"]
    return found


GREETING = {vector["end"]: vector["steps"] for vector in vectors("greeting")}


def prompt_of(meaning: dict[str, Any]) -> Any:
    if "messages" in meaning:
        return [
            Message(message["role"], message["content"], json.loads(message.get("members", "{}")))
            for message in meaning["messages"]
        ]
    return meaning["prompt_ids"] if "prompt_ids" in meaning else meaning.get("prompt")


def template_of(meaning: dict[str, Any]) -> dict[str, Any]:
    """What the chat template is told beside the prompt."""
    return {name: json.loads(meaning[name]) for name in ("tools", "template_arguments") if name in meaning}


def request_of(meaning: dict[str, Any]) -> Request:
    """The request that a GENERATE asks for."""
    flags = meaning.get("flags", 0)
    options: dict[str, Any] = {
        "prompt": prompt_of(meaning), "raw": bool(flags & 1), "ignore_end": bool(flags & 2), "resumable": bool(flags & 4),
        **template_of(meaning),
    }  # fmt: skip
    for name, value in meaning.items():
        if name in ("timeout", "first_token_timeout", "token_gap_timeout"):
            options[name] = value / 1000
        elif name == "seed":
            options[name] = int(value)
        elif name == "idempotency_key":
            options[name] = bytes.fromhex(value)
        elif name not in options and name not in ("frame", "stream", "credit", "flags", "prompt_ids", "messages"):
            options[name] = value
    return Request(**options)


def send(connection: Connection, meaning: dict[str, Any]) -> None:
    """Makes the connection send the frame that means this."""
    frame, stream = meaning["frame"], meaning["stream"]
    if frame == "GENERATE":
        connection.generate(request_of(meaning).encode(meaning["credit"]), meaning["credit"])
    elif frame == "CALL":
        method = METHODS[meaning["method"]]
        payload = messages.encode_call(
            method, model=meaning.get("model"), prompt=prompt_of(meaning), tokens=meaning.get("ids"),
            **template_of(meaning),
        )  # fmt: skip
        connection.call(method, payload)
    elif frame == "RESUME":
        connection.resume(bytes.fromhex(meaning["resume_token"]), meaning["index"], meaning["credit"])
    elif frame == "CREDIT":
        connection.grant(stream, meaning["limit"], meaning["consumed"])
    elif frame == "CANCEL":
        connection.cancel(stream, meaning["reason"])
    elif frame == "PING":
        connection.ping(bytes.fromhex(meaning["data"]))
    else:
        assert frame in ("HELLO", "PONG"), frame  # sent by itself


def meaning_of(event: core.Event, method: str | None) -> dict[str, Any]:
    """The event in the words of the vectors."""
    if isinstance(event, core.Welcome):
        hello = event.hello
        return {
            "frame": "HELLO", "stream": 0, "max_payload": hello.max_payload, "capabilities": hello.capabilities,
            "agent": hello.agent, "keep_alive": round((hello.keep_alive or 0) * 1000),
            "resume_grace": round(hello.resume_grace * 1000), "cancel_budget": hello.cancel_budget,
            "control_budget": hello.control_budget, "glitch_budget": hello.glitch_budget,
        }  # fmt: skip
    if isinstance(event, core.StreamsGranted):
        return {"frame": "MAX_STREAMS", "stream": 0, "highest_stream": event.highest}
    if isinstance(event, core.GoingAway):
        goaway = event.goaway
        return {
            "frame": "GOAWAY", "stream": 0, "last_stream": goaway.last_stream, "grace": round(goaway.grace * 1000),
            "reason": goaway.reason,
        }  # fmt: skip
    if isinstance(event, core.Pong):
        return {"frame": "PONG", "stream": 0, "data": event.data.hex()}
    if isinstance(event, core.Accepted):
        accept = event.accept
        return {
            "frame": "ACCEPT", "stream": event.stream, "index": accept.first_index, "request_id": accept.request_id,
            "model": accept.model, "seed": accept.seed,
            "resume_token": accept.resume_token.hex() if accept.resume_token else None,
        }  # fmt: skip
    if isinstance(event, core.TokensArrived):
        return {
            "frame": "TOKENS", "stream": event.stream, "first": event.tokens[0].index,
            "tokens": [
                {"id": token.id, "text": token.text}
                | ({"entries": [[one.token, one.logprob] for one in token.logprobs]} if token.logprobs else {})
                for token in event.tokens
            ],
        }  # fmt: skip
    if isinstance(event, core.Progressed):
        progress = event.progress
        return {
            "frame": "PROGRESS", "stream": event.stream, "phase": progress.phase, "done": progress.done,
            "total": progress.total,
        }  # fmt: skip
    if isinstance(event, core.Finished):
        finish = event.finish
        reasons = {name: number for number, name in messages.FINISH_REASONS.items()}
        reason = reasons.get(finish.reason) or int(finish.reason.split()[1])
        return {
            "frame": "FINISH", "stream": event.stream, "reason": reason, "tokens": finish.tokens,
            "crc32c": finish.crc32c, "seed": finish.seed, **usage_of(finish.usage),
        }  # fmt: skip
    if isinstance(event, core.Failed):
        return error_of(event.error, event.stream)
    if isinstance(event, core.Disconnected):
        return error_of(event.error, 0)
    assert isinstance(event, core.Replied)
    reply: Any = event.reply
    result: dict[str, Any] = {"frame": "REPLY", "stream": event.stream, "method": method}
    if method == "health":
        states = {name: number for number, name in messages.HEALTH_STATES.items()}
        status = states.get(reply.status) or int(reply.status.split()[1])
        return result | {"status": status, "version": reply.version, "uptime": round(reply.uptime * 1000)}
    if method == "models":
        return result | {"models": [vars(model) for model in reply]}
    if method == "statistics":
        return result | {"statistics": [{"name": name, "value": value} for name, value in reply.items()]}
    if method == "embed":
        return result | {"embedding": list(reply.vector), "prompt_tokens": reply.prompt_tokens}
    return result | {"ids" if method == "tokenize" else "text": reply}


def usage_of(usage: Any) -> dict[str, Any]:
    if usage is None:
        return {}
    times = ("queue_time", "prefill_time", "decode_time")
    return {name: round(value * 1e9) if name in times else value for name, value in vars(usage).items()}


def error_of(error: LMError, stream: int) -> dict[str, Any]:
    return {
        "frame": "ERROR", "stream": stream, "code": error.code, "flags": int(error.retryable),
        "retry_after": round(error.retry_after * 1000), "message": error.message, **usage_of(error.usage),
    }  # fmt: skip


def normal(value: Any, name: str = "") -> Any:
    """A meaning without what is absent or its default, so that both ways of saying so are equal."""
    if isinstance(value, dict):
        pairs = {key: normal(one, key) for key, one in value.items()}
        return {key: one for key, one in pairs.items() if one not in (None, 0, "", []) and key not in ("lowest", "highest")}
    if isinstance(value, (list, tuple)):
        return [normal(one) for one in value]
    if name == "code" and isinstance(value, str):
        return int(Code[value])
    is_decimal = name in ("seed", "queue_time", "prefill_time", "decode_time", "uptime", "value", "capabilities")
    if is_decimal or name in ("parameters", "cache_tokens"):
        return None if value is None else int(value)
    return value


class VectorTests(unittest.TestCase):
    def check_client(self, vector: dict[str, Any]) -> None:
        """Runs a conversation from the client's side."""
        steps = (GREETING["client"] if vector["greeted"] else []) + vector["steps"]
        hello = steps[0]["meaning"]
        connection = Connection(agent=hello.get("agent", ""), key=hello.get("key"), max_payload=hello["max_payload"])
        method = None
        for step in steps:
            meaning = step.get("meaning", {})
            if "out" in step:
                send(connection, meaning)
                self.assertEqual(connection.data_to_send().hex(), step["out"])
                method = meaning.get("method", method)
                continue
            events = connection.receive(bytes.fromhex(step["in"]))
            if step["reaction"] == "fail":
                self.assertTrue(connection.is_closed)
                self.assertIsInstance(events[-1], core.Disconnected)
                self.assertEqual(error_of(events[-1].error, 0)["code"], Code[step["code"]])  # type: ignore[union-attr]
                self.assertIn(b"\xa3\0\0\0\0" + Code[step["code"]].to_bytes(2, "little"), connection.data_to_send())
            elif step["reaction"] == "damage":
                self.assertEqual([error_of(event.error, 0)["code"] for event in events], [Code.CHECKSUM])  # type: ignore[union-attr]
            elif step["reaction"] == "deliver" and meaning["frame"] == "PING":
                self.assertEqual(events, [])
            elif step["reaction"] == "deliver":
                self.assertEqual([normal(meaning_of(event, method)) for event in events], [normal(meaning)])
            else:
                self.assertIn(step["reaction"], ("skip", "ignore", "wait"))
                self.assertEqual(events, [])
                self.assertEqual(connection.data_to_send(), b"")

    def check_requests(self, vector: dict[str, Any]) -> None:
        """Encodes what a server must understand."""
        for step in vector["steps"]:
            meaning = step.get("meaning")
            if not meaning or "in" not in step or not step.get("canonical", True):
                continue
            payload = bytes.fromhex(step["in"])[8:]
            if meaning["frame"] == "GENERATE":
                self.assertEqual(request_of(meaning).encode(meaning["credit"]).hex(), payload.hex())
            elif meaning["frame"] == "CALL":
                poolings = {number: name for name, number in messages.POOLINGS.items()}
                encoded = messages.encode_call(
                    METHODS[meaning["method"]], model=meaning.get("model"), prompt=prompt_of(meaning),
                    tokens=meaning.get("ids"), pooling=poolings.get(meaning.get("pooling")),
                    normalize="normalize" in meaning,
                    timeout=meaning["timeout"] / 1000 if "timeout" in meaning else None, **template_of(meaning),
                )  # fmt: skip
                self.assertEqual(encoded.hex(), payload.hex())

    def check_byte_by_byte(self, vector: dict[str, Any]) -> None:
        """What comes in pieces means the same."""
        received = b"".join(
            bytes.fromhex(step["in"])
            for step in (GREETING["client"] if vector["greeted"] else []) + vector["steps"]
            if "in" in step
        )
        if len(received) > 2_000 or any(step.get("out") for step in vector["steps"]):
            return
        whole = Connection().receive(received)
        connection = Connection()
        pieces = [event for byte in received for event in connection.receive(bytes([byte]))]
        self.assertEqual(repr(pieces), repr(whole))

    def test_checksums(self) -> None:
        for vector in vectors("crc32c"):
            with self.subTest(vector["name"]):
                data = bytes.fromhex(vector["bytes"])
                self.assertEqual(crc32c(data), vector["crc32c"])
                for split in range(0, len(data), 7):
                    self.assertEqual(crc32c(data[split:], crc32c(data[:split])), vector["crc32c"])


def _add(name: str) -> None:
    def test(self: VectorTests) -> None:
        for vector in vectors(name):
            with self.subTest(vector["name"], end=vector["end"]):
                if vector["end"] == "client":
                    self.check_client(vector)
                    self.check_byte_by_byte(vector)
                else:
                    self.check_requests(vector)

    setattr(VectorTests, f"test_{name}", test)


for _path in sorted(FOLDER.glob("*.json")):
    if _path.stem != "crc32c":
        _add(_path.stem)

if __name__ == "__main__":
    unittest.main()
