"""The client against a scripted server."""

from __future__ import annotations

import struct
import unittest
from threading import Thread

from lmcall import Client, Code, Embedding, LMError, Message, Request
from lmcall.transport import parse_address

from .scripted_server import Peer, ScriptedServer

TOKEN = "000102030405060708090a0b0c0d0e0f"


class ClientTests(unittest.TestCase):
    def assert_fails(self, code: int, act: object) -> LMError:
        with self.assertRaises(LMError) as caught:
            act()  # type: ignore[operator]
        self.assertEqual(caught.exception.code, code)
        return caught.exception

    def test_tokens_arrive_and_the_finish_says_why(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0, request_id="r-1", model="m", seed="9")
            peer.tokens(stream, 0, "ab")
            peer.tokens(stream, 2, "c")
            peer.finish(stream, "abc", reason=2)
            peer.expect("END")

        with ScriptedServer(script) as server, Client(server.address) as client:
            stream = client.generate("hi", max_tokens=3)
            tokens = list(stream)
            self.assertEqual([(token.index, token.text) for token in tokens], [(0, "a"), (1, "b"), (2, "c")])
            assert stream.finish and stream.accept
            self.assertEqual((stream.finish.reason, stream.finish.tokens, stream.accept.seed), ("length", 3, 9))
            self.assertEqual(stream.finish.usage.prompt_tokens, 7)  # type: ignore[union-attr]
            self.assertEqual(list(stream), [], "a stream that ended stays ended")

    def test_credit_follows_the_reader(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            stream, payload = peer.expect("GENERATE")
            assert struct.unpack_from("<I", payload) == (4,)
            peer.send("ACCEPT", stream, index=0)
            peer.tokens(stream, 0, "abcd")
            assert peer.expect("CREDIT")[1][:4] == struct.pack("<I", 6), "two were used"
            peer.tokens(stream, 4, "ef")
            assert peer.expect("CREDIT")[1][:4] == struct.pack("<I", 8)
            peer.finish(stream, "abcdef")

        with ScriptedServer(script) as server, Client(server.address) as client:
            self.assertEqual(client.generate("hi", window=4).text(), "abcdef")

    def test_a_lost_connection_loses_nothing(self) -> None:
        def first(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0, resume_token=TOKEN)
            peer.tokens(stream, 0, "ab")

        def second(peer: Peer) -> None:
            peer.greet()
            stream, payload = peer.expect("RESUME")
            assert payload == bytes.fromhex(TOKEN) + struct.pack("<II", 2, 256), payload.hex()
            peer.send("ACCEPT", stream, index=2, resume_token=TOKEN)
            peer.tokens(stream, 2, "c")

        def third(peer: Peer) -> None:
            peer.greet()
            stream, payload = peer.expect("RESUME")
            assert payload[16:20] == struct.pack("<I", 3)
            peer.send("ACCEPT", stream, index=3, resume_token=TOKEN)
            peer.tokens(stream, 3, "d")
            peer.finish(stream, "abcd")

        with ScriptedServer(first, second, third) as server, Client(server.address) as client:
            self.assertEqual(client.generate("hi").text(), "abcd")

    def test_a_resumption_that_is_refused_is_one_clear_error(self) -> None:
        def first(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0, resume_token=TOKEN)
            peer.tokens(stream, 0, "ab")

        def second(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("RESUME")
            peer.send("ERROR", stream, code="NOT_FOUND", message="not kept")

        with ScriptedServer(first, second) as server, Client(server.address) as client:
            self.assert_fails(Code.NOT_FOUND, client.generate("hi").text)

    def test_what_cannot_be_resumed_fails_when_its_connection_is_lost(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet(resume_grace=0)
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0)

        with ScriptedServer(script) as server, Client(server.address) as client:
            self.assert_fails(Code.CONNECTION, client.generate("hi").text)

    def test_a_request_lost_before_its_answer_is_repeated_byte_for_byte(self) -> None:
        seen: list[bytes] = []

        def first(peer: Peer) -> None:
            peer.greet()
            seen.append(peer.expect("GENERATE")[1])

        def second(peer: Peer) -> None:
            peer.greet()
            stream, payload = peer.expect("GENERATE")
            seen.append(payload)
            peer.send("ACCEPT", stream, index=0)
            peer.finish(stream, "")

        with ScriptedServer(first, second) as server, Client(server.address) as client:
            self.assertEqual(client.generate("hi").text(), "")
        self.assertEqual(seen[0], seen[1])
        self.assertIn(struct.pack("<HI", 40, 16), seen[0], "an idempotency key")

    def test_damaged_text_is_an_error(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0)
            peer.tokens(stream, 0, "ab")
            peer.finish(stream, "ax")

        with ScriptedServer(script) as server, Client(server.address) as client:
            self.assert_fails(Code.CHECKSUM, client.generate("hi").text)

    def test_the_server_says_whether_to_repeat(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ERROR", stream, code="OVERLOADED", flags=1, retry_after=1, message="full")
            stream, _ = peer.expect("GENERATE")
            assert stream == 2
            peer.send("ERROR", stream, code="INVALID", retry_after=250, message="temperature")

        with ScriptedServer(script) as server, Client(server.address) as client:
            error = self.assert_fails(Code.INVALID, client.generate("hi").text)
            self.assertEqual((error.message, error.retryable, error.retry_after), ("temperature", False, 0.25))

    def test_repetitions_are_few(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            for _ in range(4):
                stream, _ = peer.expect("GENERATE")
                peer.send("ERROR", stream, code="OVERLOADED", flags=1, retry_after=1)
            peer.expect("END")

        with ScriptedServer(script) as server, Client(server.address) as client:
            self.assert_fails(Code.OVERLOADED, client.generate("hi").text)

    def test_goaway_moves_what_it_refused(self) -> None:
        def first(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0)
            refused, _ = peer.expect("GENERATE")
            peer.send("GOAWAY", 0, last_stream=stream, grace=1_000, reason=15)
            peer.tokens(stream, 0, "a")
            peer.finish(stream, "a")
            peer.expect("END")

        def second(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0)
            peer.tokens(stream, 0, "b")
            peer.finish(stream, "b")

        with ScriptedServer(first, second) as server, Client(server.address) as client:
            one, other = client.generate("hi"), client.generate("hi")
            self.assertEqual((one.text(), other.text()), ("a", "b"))

    def test_leaving_the_loop_cancels(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            for _ in range(2):
                stream, _ = peer.expect("GENERATE")
                peer.send("ACCEPT", stream, index=0)
                peer.tokens(stream, 0, "ab")
                assert peer.expect("CANCEL") == (stream, struct.pack("<I", 3))
                if stream == 1:
                    peer.tokens(stream, 2, "c")
                    peer.finish(stream, "abc", reason=3)

        with ScriptedServer(script) as server, Client(server.address) as client:
            for _ in client.generate("hi"):
                break
            with client.generate("hi") as stream:
                next(stream)

    def test_cancel_lets_the_loop_run_to_its_end(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0)
            peer.tokens(stream, 0, "a")
            assert peer.expect("CANCEL") == (stream, struct.pack("<I", 1))
            peer.tokens(stream, 1, "b")
            peer.finish(stream, "ab", reason=3)

        with ScriptedServer(script) as server, Client(server.address) as client:
            stream = client.generate("hi")
            next(stream)
            stream.cancel()
            self.assertEqual(stream.text(), "b")
            self.assertEqual(stream.finish.reason, "cancelled")  # type: ignore[union-attr]

    def test_calls(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            for method, meaning in (
                ("health", {"status": 1, "version": "1", "uptime": "2500"}),
                ("tokenize", {"ids": [1, 2]}),
                ("detokenize", {"text": "hi"}),
                ("embed", {"embedding": [0.5, -2.0], "prompt_tokens": 3}),
                ("models", {"models": [{"name": "m", "context_length": 8}]}),
                ("statistics", {"statistics": [{"name": "a_total", "value": "5"}]}),
            ):
                stream, _ = peer.expect("CALL")
                peer.send("REPLY", stream, method=method, **meaning)

        with ScriptedServer(script) as server, Client(server.address) as client:
            health = client.health()
            self.assertEqual((health.status, health.uptime), ("ready", 2.5))
            self.assertEqual(client.tokenize([Message("user", "hi")]), (1, 2))
            self.assertEqual(client.detokenize([1, 2]), "hi")
            self.assertEqual(client.embed("hi", pooling="mean"), Embedding((0.5, -2.0), 3))
            self.assert_fails(Code.INVALID, lambda: client.embed("hi", pooling="max"))
            self.assertEqual(client.models()[0].context_length, 8)
            self.assertEqual(client.statistics(), {"a_total": 5})

    def test_a_call_that_is_not_answered_is_cancelled(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("CALL")
            assert peer.expect("CANCEL") == (stream, struct.pack("<I", 2))

        with ScriptedServer(script) as server, Client(server.address) as client:
            self.assert_fails(Code.DEADLINE, lambda: client.health(timeout=0.1))

    def test_silence_is_asked_about_and_then_a_lost_connection(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet(keep_alive=50, resume_grace=0)
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0)
            peer.expect("PING")
            while peer.read()[0] == "PING":
                pass

        with ScriptedServer(script) as server, Client(server.address) as client:
            error = self.assert_fails(Code.CONNECTION, client.generate("hi").text)
            self.assertIn("silent", error.message)

    def test_a_ping_is_answered(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            peer.expect("CALL")
            peer.send("PING", 0, data="0102030405060708")
            assert peer.expect("PONG") == (0, bytes(range(1, 9)))
            peer.send("REPLY", 1, method="health", status=1)

        with ScriptedServer(script) as server, Client(server.address) as client:
            self.assertEqual(client.health().status, "ready")

    def test_a_server_that_breaks_the_protocol_is_told(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0)
            peer.tokens(stream, 5, "a")
            assert peer.expect("ERROR")[1][:2] == b"\1\0"

        with ScriptedServer(script) as server, Client(server.address) as client:
            self.assert_fails(Code.PROTOCOL, client.generate("hi").text)

    def test_a_refused_key_is_not_tried_again(self) -> None:
        def script(peer: Peer) -> None:
            peer.read_hello()
            peer.send("ERROR", 0, code="UNAUTHENTICATED", message="the key is wrong")

        with ScriptedServer(script) as server, Client(server.address, key="k") as client:
            self.assert_fails(Code.UNAUTHENTICATED, client.health)

    def test_a_request_too_long_for_the_server_fails_at_home(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet(max_payload=65_536)
            peer.expect("END")

        with ScriptedServer(script) as server, Client(server.address) as client:
            self.assert_fails(Code.TOO_LARGE, lambda: client.generate("x" * 70_000).text())

    def test_streams_wait_for_their_turn(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            for _ in range(128):
                peer.expect("CALL")
            peer.send("REPLY", 1, method="health", status=1)
            peer.send("MAX_STREAMS", 0, highest_stream=129)
            assert peer.expect("CALL")[0] == 129

        with ScriptedServer(script) as server:
            with Client(server.address) as client:

                def ask() -> None:
                    try:
                        client.health()
                    except LMError:
                        pass

                threads = [Thread(target=ask) for _ in range(129)]
                for thread in threads:
                    thread.start()
                server._thread.join(20)
            for thread in threads:
                thread.join()

    def test_closing_the_client_ends_its_streams(self) -> None:
        def script(peer: Peer) -> None:
            peer.greet()
            stream, _ = peer.expect("GENERATE")
            peer.send("ACCEPT", stream, index=0, resume_token=TOKEN)
            peer.expect("END")

        with ScriptedServer(script) as server:
            client = Client(server.address)
            stream = client.generate("hi")
            stream.wait_until_accepted()
            client.close()
            self.assert_fails(Code.CLOSED, stream.text)
            self.assert_fails(Code.CLOSED, client.health)


class RefusalTests(unittest.TestCase):
    def test_a_key_is_not_sent_in_clear_to_another_machine(self) -> None:
        with self.assertRaises(LMError):
            Client("192.0.2.1", key="secret")
        Client("127.0.0.1", key="secret").close()

    def test_addresses(self) -> None:
        for text, address in {
            "a": ("a", 7433), "a:1": ("a", 1), "[::1]:2": ("::1", 2), "[::1]": ("::1", 7433), "::1": ("::1", 7433),
            "unix:/x": "/x",
        }.items():  # fmt: skip
            self.assertEqual(parse_address(text), address)
        for text in ("", ":1", "a:", "a:b", "a:70000", "[::1", "[::1]x"):
            with self.assertRaises(LMError, msg=text):
                parse_address(text)

    def test_secrets_do_not_show(self) -> None:
        self.assertNotIn("k" * 16, repr(Request("hi", idempotency_key=b"k" * 16)))

    def test_values_that_fit_no_field_fail_at_home(self) -> None:
        for options in ({"priority": 256}, {"top_k": -1}, {"seed": 2**64}):
            with self.assertRaises(LMError):
                Request("hi", **options).encode(0)  # type: ignore[arg-type]


if __name__ == "__main__":
    unittest.main()
