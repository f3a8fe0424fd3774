"""What is right: every frame, handshakes, the states of streams, resumption."""

import struct

from conversations import (
    KEY, PREFACE, TOKEN, Vector, accept, call, cancel, credit, error, finish, generate, goaway, health, hello,
    max_streams, ping, progress, reply, resume, server_hello, some_tokens,
)  # fmt: skip
from encoder import CODES, METHODS, TYPES, U32_MAX, encode, field, framed, payload, value


def all_fields():
    """Every frame in each direction it may go, plain and with every field."""
    ends = {"client": "server", "server": "client"}
    for sender, receiver in ends.items():
        for frame in ("PING", "PONG"):
            yield Vector("6.2", f"{frame} from the {sender}", receiver).frames(ping(frame), sender=sender)
        yield Vector("6.14", f"ERROR of the connection from the {sender}", receiver).frames(
            error(0, "UNAUTHENTICATED", message="no"), sender=sender
        )
    yield Vector("6.1", "HELLO of a client with every field", "server", greeted=False).greet(
        client=hello(max_payload=65_536, key="sk-1", agent="é/1")
    )
    yield Vector("6.1", "HELLO of a server with every field", "client", greeted=False).greet(
        server=server_hello(cancel_budget=[16, 512], control_budget=[12_800, 25_600], glitch_budget=[100, 200])
    )
    yield Vector("6.1", "HELLO without a field", "client", greeted=False).greet(
        client={"frame": "HELLO", "stream": 0, "max_payload": 0xFFFFFF},
        server={"frame": "HELLO", "stream": 0, "max_payload": 65_536},
    )
    yield Vector("6.3", "GOAWAY as a warning", "client", goaway(U32_MAX, grace=0, reason=0))
    yield Vector("6.3", "GOAWAY, final", "client", generate(), goaway(1))
    yield Vector("6.4", "MAX_STREAMS grows", "client", max_streams(129), max_streams(2**31 - 1))

    yield Vector("6.5", "GENERATE, the shortest", "server", generate())
    everything = dict(
        credit=8, timeout=30_000, priority=7, flags=7, model="smol", temperature=0.5, top_p=0.75, top_k=40, min_p=0.25,
        repetition_penalty=1.5, presence_penalty=-1.0, frequency_penalty=2.0, seed=str(2**64 - 1), logprobs=20,
        max_tokens=100, min_tokens=5, stop_tokens=[2, 0], first_token_timeout=2_000, token_gap_timeout=500,
        idempotency_key=KEY, stop=["\n", "END"],
    )  # fmt: skip
    yield Vector("6.5", "GENERATE with every field", "server", generate(**everything))
    messages = [
        {"role": "system", "content": "be kind"}, {"role": "user", "content": "你好"},
        {"role": "assistant", "content": ""}, {"role": "tool", "content": "1\x00 2"},
    ]  # fmt: skip
    asked = {"frame": "GENERATE", "stream": 1, "credit": 0}
    yield Vector("6.5", "GENERATE from messages", "server", asked | {"messages": messages})
    tool = {
        "tools": '[{"type": "function", "function": {"name": "weather"}}]',
        "template_arguments": '{"enable_thinking": false, "words": ["é", 1.5, null]}',
    }  # fmt: skip
    called = [
        {"role": "user", "content": "in Paris?"},
        {"role": "assistant", "content": "", "members": '{"content": null, "tool_calls": [{"id": "1"}]}'},
        {"role": "tool", "content": "21", "members": '{"tool_call_id": "1", "name": "weather"}'},
    ]
    yield Vector("6.5", "GENERATE with tools for a text", "server", generate(stop=["\n"]) | tool)
    yield Vector("6.5", "GENERATE with tools from messages", "server", asked | tool | {"messages": called})
    yield Vector("6.5", "GENERATE with tools from messages, flag raw", "server", asked | tool | {
        "messages": called, "flags": 1
    })  # fmt: skip
    yield Vector("6.6", "CALL tokenize with tools", "server", call(method="tokenize", model="m", messages=called, **tool))
    yield Vector("6.5", "GENERATE from ids", "server", asked | {"prompt_ids": [1, 70_000]})
    yield Vector("6.5", "GENERATE with the least of each", "server", generate(
        priority=0, credit=U32_MAX, temperature=0.0, top_k=0, min_p=0.0, seed="0", logprobs=0, max_tokens=1,
        min_tokens=0, first_token_timeout=1, token_gap_timeout=1,
    ))  # fmt: skip
    yield Vector("6.5", "GENERATE, 16 stop strings and 64 stop tokens", "server", generate(
        stop=[f"{n:02}" * 128 for n in range(16)], stop_tokens=list(range(64))
    ))  # fmt: skip
    for method in METHODS:
        if method not in ("tokenize", "detokenize", "embed"):
            yield Vector("6.6", f"CALL {method}", "server", call(method=method))
    yield Vector("6.6", "CALL tokenize of a text", "server", call(method="tokenize", model="m", prompt="hi"))
    yield Vector("6.6", "CALL tokenize of messages", "server", call(method="tokenize", messages=messages))
    yield Vector("6.6", "CALL detokenize", "server", call(method="detokenize", model="m", ids=[5, 0]))
    yield Vector("6.6", "CALL embed of a text", "server", call(method="embed", prompt="hi"))
    yield Vector("6.6", "CALL embed of ids with every field", "server", call(
        method="embed", model="m", prompt_ids=[5, 0], pooling=1, normalize=1, timeout=30_000
    ))  # fmt: skip
    yield Vector("6.6", "CALL embed of messages, their mean", "server", call(
        method="embed", messages=messages, pooling=2
    ))  # fmt: skip
    yield Vector("6.6", "CALL tokenize with fields of embed", "server").delivers(
        framed(0x91, 1, struct.pack("<HH", 3, 0) + field(16, b"") + field(17, b"\2") + field(0x4004, b"\4userhi")),
        call(method="tokenize", messages=[{"role": "user", "content": "hi"}]),
    )
    yield Vector("6.7", "CREDIT", "server", generate(), accept(), some_tokens(), credit(limit=128, consumed=3))
    for reason in (1, 2, 3):
        yield Vector("6.8", f"CANCEL with reason {reason}", "server", generate(), cancel(reason=reason))
    yield Vector("6.9", "RESUME", "server", resume(index=70_000, credit=70_064))

    yield Vector("6.10", "ACCEPT, the shortest", "client", generate(), accept())
    yield Vector("6.10", "ACCEPT with every field", "client", generate(flags=4), accept(
        request_id="r-1", model="smol", seed=str(2**63), resume_token=TOKEN
    ))  # fmt: skip
    for phase in (1, 2, 3):
        yield Vector("6.12", f"PROGRESS in phase {phase}", "client", generate(), accept(), progress(
            phase=phase, done=512, total=2_048
        ))  # fmt: skip
    usage = dict(
        prompt_tokens=12, cached_tokens=4, generated_tokens=3, recomputed=1, queue_time="1000", prefill_time="2000",
        decode_time=str(2**40),
    )  # fmt: skip
    for reason in (1, 2, 3):
        yield Vector("6.13", f"FINISH with reason {reason}", "client", generate(), accept(), some_tokens(), finish(
            text="abc", count=3, reason=reason
        ))  # fmt: skip
    yield Vector("6.13", "FINISH with every field", "client", generate(), accept(), some_tokens(), finish(
        text="abc", count=3, seed="7", **usage
    ))  # fmt: skip
    yield Vector("6.13", "FINISH without a token", "client", generate(), accept(), finish())
    for code in CODES:
        if code not in ("PROTOCOL", "FRAME_TOO_LARGE", "VERSION"):
            yield Vector("7.3", f"ERROR {code}", "client", generate(), error(code=code, message="why"))
    yield Vector("6.14", "ERROR with advice", "client", generate(), error(flags=1, retry_after=250, message="full"))
    yield Vector("6.14", "ERROR with usage", "client", generate(), accept(), error(
        code="MODEL_OUTPUT", message="NaN", **usage
    ))  # fmt: skip

    models = [
        {
            "name": "smol", "architecture": "llama", "format": "Q4_1", "device": "cpu", "context_length": 8_192,
            "vocabulary_size": 49_152, "parameters": "134515008", "cache_tokens": "65536",
        },
        {
            "name": "你", "architecture": "qwen2", "format": "F16", "device": "cpu", "context_length": 1,
            "vocabulary_size": 2, "parameters": "0", "cache_tokens": "4",
        },
    ]  # fmt: skip
    statistics = [{"name": "tokens_total", "value": str(2**64 - 1)}, {"name": "running", "value": "0"}]
    for status in (1, 2, 3, 4):
        yield Vector("6.15", f"REPLY health {status}", "client", call(), health(status=status))
    yield Vector("6.15", "REPLY models", "client", call(method="models"), reply(method="models", models=models))
    yield Vector("6.15", "REPLY tokenize", "client", call(method="tokenize", prompt="x"), reply(
        method="tokenize", ids=[1, 2, 49_151]
    ))  # fmt: skip
    yield Vector("6.15", "REPLY detokenize", "client", call(method="detokenize", ids=[1]), reply(
        method="detokenize", text="a�b"
    ))  # fmt: skip
    yield Vector("6.15", "REPLY embed", "client", call(method="embed", prompt="x"), reply(
        method="embed", embedding=[0.5, -1.25, 0.0, 2.0**100], prompt_tokens=2
    ))  # fmt: skip
    yield Vector("6.15", "REPLY statistics", "client", call(method="statistics"), reply(
        method="statistics", statistics=statistics
    ))  # fmt: skip


def greetings():
    """What every vector with `greeted` starts with."""
    for end in ("client", "server"):
        yield Vector("3.3", f"the greeting of a {end}", end, greeted=False).greet()


def handshake():
    """Section 3."""
    def fresh(name, end="server", section="3.3"):
        return Vector(section, name, end, greeted=False)

    good = encode(hello())
    for position in range(8):
        wrong = bytearray(PREFACE)
        wrong[position] ^= 1
        yield fresh(f"a preface with a wrong byte {position}", section="3.2").receive(bytes(wrong) + good, "close")
    yield fresh("a request of HTTP", section="3.2").receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "close")
    yield fresh("the preface of HTTP/2", section="3.2").receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "close")
    yield fresh("a TLS client without TLS", section="3.2").receive(bytes.fromhex("1603010200010001fc0303"), "close")
    yield fresh("a wrong first byte alone", section="3.2").receive(b"\x88", "close")
    yield fresh("half a preface, then its rest", section="3.2").receive(PREFACE[:3], "wait").receive(
        PREFACE[3:], "wait").receive(good, "deliver", meaning=hello(), canonical=False)  # fmt: skip
    partial = fresh("HELLO byte by byte")
    data = PREFACE + good
    for position in range(len(data) - 1):
        partial.receive(data[position : position + 1], "wait")
    yield partial.receive(data[-1:], "deliver", meaning=hello(), canonical=False)

    def client_hello(name, data, code="PROTOCOL"):
        return fresh(name).fails(PREFACE + data, code)

    yield client_hello("PING instead of HELLO", encode(ping()))
    yield client_hello("GENERATE instead of HELLO", encode(generate()))
    yield client_hello("a frame to be skipped instead of HELLO", framed(0x70, 0, b""))
    yield client_hello("HELLO on stream 1", framed(0x81, 1, payload(hello())))
    yield client_hello("an empty HELLO", framed(0x81, 0, b""))
    yield client_hello("HELLO of 15 bytes", framed(0x81, 0, payload(hello())[:15]))
    yield client_hello("lowest version 0", encode(hello(lowest=0)))
    yield client_hello("lowest version above the highest", encode(hello(lowest=2, highest=1)))
    yield client_hello("only later versions", encode(hello(lowest=2, highest=9)), "VERSION")
    yield client_hello("payloads to 65,535", encode(hello(max_payload=65_535)))
    yield client_hello("payloads to 16,777,216", encode(hello(max_payload=1 << 24)))
    yield client_hello("a credential of 1,025 bytes", encode(hello(key="k" * 1_025)))
    yield client_hello("an unknown critical field", framed(0x81, 0, payload(hello()) + field(0x8001, b"")))
    yield client_hello("a name twice", framed(0x81, 0, payload(hello()) + field(2, b"")))
    yield client_hello("4,097 bytes before HELLO", framed(0x81, 0, b"", length=4_097), "FRAME_TOO_LARGE")
    yield client_hello("16,777,215 bytes before HELLO", framed(0x81, 0, b"", length=0xFFFFFF), "FRAME_TOO_LARGE")
    yield fresh("a HELLO of 4,096 bytes").receive(
        PREFACE + framed(0x81, 0, payload(hello()) + field(0x4100, b"\0" * (4_096 - len(payload(hello())) - 6))),
        "deliver", meaning=hello(), canonical=False,
    )  # fmt: skip
    yield fresh("versions 1 to 255").greet(client=hello(highest=255))
    yield fresh("capabilities nobody knows").greet(client=hello(capabilities=str(2**64 - 1)))
    yield fresh("a credential of 1,024 bytes").greet(client=hello(key="k" * 1_024))
    yield fresh("reserved bytes and unknown fields are ignored").receive(
        PREFACE + framed(0x81, 0, b"\1\1\xff\xff" + payload(hello())[4:] + field(0x100, b"?") + field(0x4101, b"") * 2),
        "deliver", meaning=hello(), canonical=False,
    )  # fmt: skip
    yield Vector("3.3", "a second HELLO of a client", "server").fails(encode(hello()))

    def greeted(name):
        vector = fresh(name, "client")
        vector.step("client", PREFACE + good, hello())
        return vector

    def server_answers(name, data, code="PROTOCOL"):
        return greeted(name).fails(data, code)

    for code in ("VERSION", "UNAUTHENTICATED", "OVERLOADED", "DRAINING"):
        yield greeted(f"ERROR {code} instead of the server's HELLO").frames(error(0, code, message="no"), sender="server")
    yield server_answers("PING instead of the server's HELLO", encode(ping()))
    yield server_answers("MAX_STREAMS instead of the server's HELLO", encode(max_streams()))
    yield server_answers("a frame to be skipped instead of the server's HELLO", framed(0x70, 0, b""))
    yield server_answers("ACCEPT instead of the server's HELLO", encode(accept()))
    yield server_answers("the server's HELLO on stream 1", framed(0x81, 1, payload(server_hello())))
    yield server_answers("a server that chose two versions", encode(server_hello(highest=2)))
    yield server_answers("a server that chose version 2", encode(server_hello(lowest=2, highest=2)), "VERSION")
    yield server_answers("a server that chose version 0", encode(server_hello(lowest=0, highest=0)))
    yield server_answers("a server's payloads to 65,535", encode(server_hello(max_payload=65_535)))
    yield server_answers("a server's payloads to 16,777,216", encode(server_hello(max_payload=1 << 24)))
    yield server_answers("4,097 bytes before the server's HELLO", framed(0x81, 0, b"", length=4_097), "FRAME_TOO_LARGE")
    yield server_answers("a budget of 7 bytes", framed(0x81, 0, payload(server_hello()) + field(5, b"\0" * 7)))
    yield Vector("3.3", "a second HELLO of a server", "client").fails(encode(server_hello()))
    yield Vector("5.3", "MAX_STREAMS shrinks", "client").receive(encode(max_streams(127)), "ignore")
    yield Vector("5.3", "MAX_STREAMS again", "client").receive(encode(max_streams(128)), "ignore")
    token = "00112233445566778899aabbccddeeff"
    texts = [("Hello", 19_556, -0.25), ("", 17, -0.5), (" 你", 905, -1.0)]
    pieces = [{"id": id, "text": text, "entries": [[id, logprob]]} for text, id, logprob in texts]
    yield Vector("10", "the conversation of section 10", "client", greeted=False).greet(
        server=server_hello(cancel_budget=[16, 512])
    ).frames(
        generate(credit=4, flags=4, prompt="Hi!", temperature=0.0, logprobs=0, max_tokens=16),
        accept(request_id="17", resume_token=token), some_tokens() | {"tokens": pieces}, credit(limit=6, consumed=2),
    )  # fmt: skip
    yield Vector("10", "its second connection", "client").frames(
        resume(resume_token=token, index=2, credit=6), accept(index=2, request_id="17", resume_token=token),
        some_tokens(first=2) | {"tokens": pieces[2:]},
        finish(
            text="Hello 你", count=3, prompt_tokens=30, cached_tokens=0, generated_tokens=3, recomputed=0,
            queue_time="150000", prefill_time="80000000", decode_time="24000000",
        ),
        max_streams(129), call(2), reply(2, status=3, version="1", uptime="60000"), max_streams(130), goaway(2),
    )  # fmt: skip


def stream_rules():
    """Numbers of streams, credit, cancellation, going away."""
    yield Vector("5", "gaps between the numbers", "server").delivers(encode(generate(3)), generate(3)).delivers(
        encode(call(128)), call(128)
    )
    yield Vector("5", "a number below one that was used", "server", generate(2)).fails(encode(generate(1)))
    yield Vector("5.3", "a stream above MAX_STREAMS", "server").fails(encode(generate(129)))
    yield Vector("5.3", "the highest stream that MAX_STREAMS allows", "server").delivers(
        encode(generate(128)), generate(128)
    )
    yield Vector("5", "a stream above 2^31 - 1", "server").fails(encode(generate(2**31)))
    yield Vector("5", "the number 2^32 - 1", "server").fails(encode(generate(U32_MAX)))
    yield Vector("5.3", "one stream more for each that ended", "server", generate(), error(), max_streams(129))
    used = [generate(), accept(), some_tokens()]
    yield Vector("5.1", "CREDIT that grows", "server", *used, credit(limit=65), credit(limit=U32_MAX, consumed=3))
    yield Vector("5.1", "CREDIT that reports consumption alone", "server", *used, credit(limit=64, consumed=2))
    yield Vector("6.7", "more consumed than was sent", "server", *used).fails(encode(credit(consumed=4)))
    yield Vector("6.7", "more consumed than was sent, before ACCEPT", "server", generate()).fails(
        encode(credit(consumed=1))
    )
    yield Vector("6.7", "consumption on a closed stream is not judged", "server", *used, finish(
        text="abc", count=3
    )).receive(encode(credit(consumed=9)), "ignore")  # fmt: skip
    yield Vector("5.1", "tokens after CREDIT", "client", generate(credit=1), accept(), some_tokens(texts=["a"])).frames(
        credit(limit=3, consumed=1), some_tokens(first=1, texts=["b", "c"])
    )
    yield Vector("5.1", "tokens beyond CREDIT", "client", generate(credit=1), accept(), credit(limit=2)).fails(
        encode(some_tokens())
    )
    yield Vector("5.2", "tokens after CANCEL", "client", generate(), accept(), cancel(), some_tokens(), finish(
        text="abc", count=3, reason=3
    ))  # fmt: skip
    yield Vector("5.2", "cancelled before ACCEPT", "client", generate(), cancel(), error(code="CANCELLED"))
    yield Vector("5.2", "ACCEPT after CANCEL", "client", generate(), cancel(), accept(), finish(reason=3))
    yield Vector("5.2", "a cancelled call that was answered", "client", call(), cancel(), health())
    yield Vector("5.4", "a warning, then the final GOAWAY", "client", generate(), goaway(U32_MAX), goaway(1), accept())
    yield Vector("5.4", "GOAWAY refuses what it crossed", "client", generate(), call(2), goaway(1), accept())
    yield Vector("5.4", "open streams go on after GOAWAY", "client", generate(), accept(), goaway(1), some_tokens(), finish(
        text="abc", count=3
    ))  # fmt: skip
    for name, data in (("GENERATE", b"\0"), ("CALL", b""), ("RESUME", b"\0" * 15)):
        yield Vector("5", f"a malformed {name} above GOAWAY's last stream is not read", "server", goaway(0)).receive(
            framed(TYPES[name], 1, data), "ignore"
        ).frames(ping(), sender="client")
    yield Vector("5.5", "PING is answered", "client").frames(ping(), sender="server").frames(ping("PONG"), sender="client")
    yield Vector("5.5", "PING of a client is answered", "server").frames(ping(), sender="client").frames(
        ping("PONG"), sender="server"
    )
    yield Vector("6.13", "FINISH counts too many tokens", "client", *used).fails(encode(finish(text="abc", count=4)))
    yield Vector("6.13", "FINISH counts too few tokens", "client", *used).fails(encode(finish(text="abc", count=2)))
    damaged = Vector("5.7", "a text that is not what was sent", "client", *used)
    yield damaged.receive(encode(finish(text="abd", count=3)), "damage").frames(ping(), sender="server")
    yield Vector("6.10", "ACCEPT with another index than 0", "client", generate()).fails(encode(accept(index=1)))
    both = Vector("5", "two streams, interleaved", "client", generate(), generate(2), accept(2), accept())
    yield both.frames(
        some_tokens(), some_tokens(2, texts=["x"]), some_tokens(first=3), finish(2, text="x", count=1),
        some_tokens(first=6, texts=["z"]), finish(text="abcabcz", count=7),
    )  # fmt: skip


def resumption():
    """Sections 5.7 and 5.8."""
    token = accept(resume_token=TOKEN)
    first = [generate(flags=4), token, some_tokens()]
    yield Vector("5.7", "a resumable stream", "client", *first, credit(limit=64, consumed=3))
    yield Vector("5.7", "continued on a new connection", "client", resume(index=3, credit=67), accept(
        index=3, request_id="r-1", resume_token=TOKEN
    ), some_tokens(first=3, texts=["d"]), finish(text="abcd", count=4))  # fmt: skip
    yield Vector("5.7", "continued at a token that had come already", "client", resume(index=1), accept(index=1), some_tokens(
        first=1, texts=["b", "c", "d"]
    ), finish(text="abcd", count=4))  # fmt: skip
    yield Vector("5.7", "continued from the start", "client", resume(), token, some_tokens(), finish(text="abc", count=3))
    yield Vector("5.7", "continued after the last token", "client", resume(index=3), accept(index=3), finish(
        text="abc", count=3
    ))  # fmt: skip
    yield Vector("5.7", "continued behind 65,536 tokens", "client", resume(index=70_000, credit=70_002), accept(
        index=70_000
    ), some_tokens(first=70_000, texts=["a", "b"]))  # fmt: skip
    yield Vector("5.7", "continued without credit", "client", resume(index=3, credit=3), accept(index=3)).fails(
        encode(some_tokens(first=3, texts=["d"]))
    )
    yield Vector("5.7", "ACCEPT with another index than was asked", "client", resume(index=3)).fails(
        encode(accept(index=2))
    )
    yield Vector("5.7", "TOKENS with another index than was asked", "client", resume(index=3), accept(index=3)).fails(
        encode(some_tokens(first=4))
    )
    yield Vector("5.7", "FINISH counts only the tokens of this stream", "client", resume(index=3), accept(index=3)).frames(
        some_tokens(first=3)
    ).fails(encode(finish(text="abcabc", count=3)))
    for code in ("NOT_FOUND", "INVALID", "OVERLOADED"):
        yield Vector("5.7", f"RESUME answered by {code}", "client", resume(index=3), error(code=code))
    yield Vector("5.7", "the last RESUME wins", "client", *first, resume(2, index=3), error(1, code="SUPERSEDED")).frames(
        accept(2, index=3, resume_token=TOKEN), some_tokens(2, first=3)
    )
    yield Vector("5.7", "a server hands over to the last RESUME", "server", *first, resume(2, index=3), error(
        1, code="SUPERSEDED"
    ), max_streams(129), accept(2, index=3, resume_token=TOKEN), some_tokens(2, first=3))  # fmt: skip
    yield Vector("5.7", "a server continues at an index", "server", resume(index=65_536, credit=65_600), accept(
        index=65_536, resume_token=TOKEN
    ), some_tokens(first=65_536, texts=["a"]), credit(limit=65_700, consumed=65_537))  # fmt: skip
    yield Vector("5.7", "consumption beyond what a continued stream sent", "server", resume(index=3), accept(
        index=3
    )).fails(encode(credit(consumed=4)))  # fmt: skip
    yield Vector("5.2", "a continued stream is cancelled", "server", resume(index=3), accept(index=3), cancel())
    yield Vector("5.8", "a GENERATE with an idempotency key", "server", generate(idempotency_key=KEY))
    for length in (0, 15, 17):
        yield Vector("5.8", f"an idempotency key of {length} bytes", "server").fails(
            framed(0x90, 1, payload(generate()) + field(40, b"k" * length))
        )
        yield Vector("5.7", f"a resume token of {length} bytes", "client", generate(flags=4)).fails(
            framed(0xA0, 1, struct.pack("<I", 0) + field(4, b"t" * length))
        )
    yield Vector("6.9", "an unknown field of RESUME is skipped", "server").delivers(
        framed(0x94, 1, payload(resume()) + field(0x100, b"?")), resume()
    )
    yield Vector("6.9", "an unknown critical field of RESUME", "server").rejects(
        framed(0x94, 1, payload(resume()) + field(0x8001, b""))
    )
