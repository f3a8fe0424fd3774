"""What is wrong: malformed frames, text that is none, content that cannot be; and what must be skipped."""

import struct

from conversations import (
    PREFACE, Vector, accept, call, cancel, credit, error, finish, generate, goaway, health, max_streams, ping, progress,
    reply, resume, some_tokens,
)  # fmt: skip
from encoder import (
    FIELDS, FIXED, FROM_CLIENT, FROM_SERVER, ON_CONNECTION, TYPES, U32_MAX, encode, field, framed, payload,
    value,
)  # fmt: skip


BROKEN_UTF8 = {
    "a lone continuation byte": b"\x80", "a lead byte alone": b"\xc3", "a lead byte and a letter": b"\xc3a",
    "two bytes of three": b"\xe4\xbd", "three bytes of four": b"\xf0\x9f\x98", "overlong in 2 bytes": b"\xc0\xaf",
    "overlong in 3 bytes": b"\xe0\x80\xaf", "overlong in 4 bytes": b"\xf0\x80\x80\xaf",
    "an overlong U+0000": b"\xc0\x80", "a high surrogate": b"\xed\xa0\x80", "a low surrogate": b"\xed\xbf\xbf",
    "a surrogate pair": b"\xed\xa0\xbd\xed\xb8\x80", "above U+10FFFF": b"\xf4\x90\x80\x80",
    "a lead byte of 5": b"\xf8\x88\x80\x80\x80", "the byte FE": b"\xfe", "the byte FF": b"\xff",
}  # fmt: skip


def utf8():
    """Text that is none, everywhere text can be."""
    for name, data in BROKEN_UTF8.items():
        yield Vector("7.2", f"a prompt with {name}", "server").rejects(
            framed(0x90, 1, payload({"frame": "GENERATE", "credit": 1}) + field(2, b"a" + data))
        )
    broken = b"\xff"
    yield Vector("6.11", "a token with a byte that is no character", "client", generate(), accept()).delivers(
        framed(0xA1, 1, struct.pack("<HBBi", 0, 1, 0, 7) + b"a\x80b"), some_tokens() | {"tokens": [{"id": 7, "text": "a\ufffdb"}]}
    )
    yield Vector("6.11", "a character over two tokens", "client", generate(), accept()).delivers(
        framed(0xA1, 1, struct.pack("<HBBii", 0, 2, 0, 0, 1) + b"\1" + "é".encode()), some_tokens(texts=["\ufffd", "\ufffd"])
    )
    for name, key in (("model", 1), ("stop string", 0x4023)):
        fixed = payload(generate()) if key > 2 else payload({"frame": "GENERATE", "credit": 1})
        tail = field(key, broken) if key > 2 else field(key, broken) + field(2, b"hi")
        yield Vector("7.2", f"a {name} that is not UTF-8", "server").rejects(framed(0x90, 1, fixed + tail))
    for name, message in (("role", b"\x01\xff"), ("content", b"\x04user\xff")):
        yield Vector("7.2", f"a message's {name} that is not UTF-8", "server").rejects(
            framed(0x90, 1, payload({"frame": "GENERATE", "credit": 1}) + field(0x4004, message))
        )
    yield Vector("7.2", "a text to tokenize that is not UTF-8", "server").rejects(
        framed(0x91, 1, struct.pack("<HH", 3, 0) + field(2, broken))
    )
    yield Vector("7.1", "a request id that is not UTF-8", "client", generate()).fails(
        framed(0xA0, 1, struct.pack("<I", 0) + field(1, broken))
    )
    yield Vector("7.1", "an ERROR's sentence that is not UTF-8", "client", generate()).fails(
        framed(0xA3, 1, payload(error()) + field(1, broken))
    )
    yield Vector("7.1", "a detokenized text that is not UTF-8", "client", call(method="detokenize", ids=[1])).fails(
        framed(0xA4, 1, field(2, broken))
    )
    yield Vector("7.1", "a client's name that is not UTF-8", "server", greeted=False).fails(
        PREFACE + framed(0x81, 0, payload({"frame": "HELLO", "max_payload": 65_536}) + field(2, broken))
    )


# One frame of each type, and a state of the receiver in which it is welcome.
EXAMPLES = [
    ("server", [], ping()), ("server", [], ping("PONG")), ("server", [], error(0, "CANCELLED")),
    ("server", [], generate()), ("server", [], call()), ("server", [generate()], credit()),
    ("server", [generate()], cancel()), ("server", [], resume()), ("client", [], ping()), ("client", [], ping("PONG")),
    ("client", [], goaway(0)), ("client", [], max_streams()), ("client", [generate()], accept()),
    ("client", [generate(), accept()], some_tokens()), ("client", [generate(), accept()], progress()),
    ("client", [generate(), accept()], finish()), ("client", [generate()], error()),
    ("client", [], error(0, "CANCELLED")), ("client", [call()], health()),
]  # fmt: skip
EXACT = {"PING", "PONG", "GOAWAY", "MAX_STREAMS", "CREDIT", "CANCEL", "PROGRESS"}


def malformed():
    """Section 7.1: everything that ends the connection."""
    for end, before, meaning in EXAMPLES:
        frame, stream, kind = meaning["frame"], meaning["stream"], TYPES[meaning["frame"]]
        on = f"{frame} of the connection" if frame == "ERROR" and stream == 0 else frame
        data = payload(meaning)
        fixed = len(data) if frame in EXACT else sum(struct.calcsize("<" + form) for _, form, _ in FIXED.get(frame, []))
        if fixed:
            yield Vector("7.1", f"{on} to a {end}, empty", end, *before).fails(framed(kind, stream, b""))
            yield Vector("7.1", f"{on} to a {end}, one byte short", end, *before).fails(
                framed(kind, stream, data[: fixed - 1])
            )
        if frame in EXACT:
            yield Vector("7.1", f"{on} to a {end}, one byte long", end, *before).fails(
                framed(kind, stream, data + b"\0")
            )
        elif frame != "TOKENS":
            yield from fields_of(on, end, before, meaning)
        other = 1 if frame in ON_CONNECTION else 0
        if frame != "ERROR":
            yield Vector("4", f"{on} to a {end} on stream {other}", end, *before).fails(framed(kind, other, data))
    for frame in sorted(FROM_SERVER):
        meaning = next(meaning for _, _, meaning in EXAMPLES if meaning["frame"] == frame)
        yield Vector("4", f"{frame} from a client", "server", generate()).fails(encode(meaning))
    yield Vector("4", "ERROR on a stream from a client", "server", generate()).fails(encode(error()))
    for frame in sorted(FROM_CLIENT):
        meaning = next(meaning for _, _, meaning in EXAMPLES if meaning["frame"] == frame)
        yield Vector("4", f"{frame} from a server", "client", generate()).fails(encode(meaning))
    for end, most in (("server", 1_114_112), ("client", 4_259_840)):
        for length in (most + 1, 0xFFFFFF):
            yield Vector("4", f"a payload of {length} bytes announced to a {end}", end).fails(
                framed(0x82, 0, b"", length=length), "FRAME_TOO_LARGE"
            )
        yield Vector("4", f"a frame to be skipped of {most + 1} bytes announced to a {end}", end).fails(
            framed(0x70, 0, b"", length=most + 1), "FRAME_TOO_LARGE"
        )
        yield Vector("4", f"a payload of {most} bytes announced to a {end}", end).receive(
            framed(0x70, 0, b"", length=most), "wait"
        )
        peer = "client" if end == "server" else "server"
        yield Vector("7.1", f"bytes after an ERROR on stream 0, to a {end}", end).frames(
            error(0, "INTERNAL"), sender=peer
        ).receive(encode(ping()) + framed(0xFE, 0, b""), "ignore")


def fields_of(on, end, before, meaning):
    """What can be wrong with the fields of a frame."""
    kind, stream = TYPES[meaning["frame"]], meaning["stream"]
    plain = payload({"frame": meaning["frame"], "method": meaning.get("method", 1)} | {
        name: meaning[name] for name, _, _ in FIXED[meaning["frame"]] if name and name in meaning
    })  # fmt: skip

    def bad(name, *fields):
        return Vector("4.1", f"{on} to a {end}, {name}", end, *before).fails(framed(kind, stream, plain + b"".join(fields)))

    for length in range(1, 6):
        yield bad(f"a field's head of {length} bytes", b"\0\1\0\0\0"[:length])
    yield bad("a field one byte longer than the frame", struct.pack("<HI", 0x100, 2) + b"x")
    yield bad("a field of 2^32 - 1 bytes", struct.pack("<HI", 0x100, U32_MAX) + b"x")
    yield bad("keys that fall", field(0x101, b""), field(0x100, b""))
    yield bad("an unknown key twice", field(0x100, b""), field(0x100, b""))
    yield bad("a repeatable key after a higher one", field(0x4100, b""), field(0x4101, b""), field(0x4100, b""))
    critical = Vector("4.1", f"{on} to a {end}, an unknown critical field", end, *before)
    data = framed(kind, stream, plain + field(0x8001, b""))
    if meaning["frame"] in ("GENERATE", "CALL", "RESUME"):
        yield critical.rejects(data)
    else:
        yield critical.fails(data)
    table = FIELDS.get(meaning["method"] if meaning["frame"] == "REPLY" else meaning["frame"], {})
    for name, (key, form) in sorted(table.items(), key=lambda item: item[1][0]):
        sizes = {"text": [], "message": [], "members": [0, 1], "model": [], "statistic": [7], "ids": [1, 5], "budget": [7, 9]}.get(form)
        if sizes is None:
            size = struct.calcsize("<" + form)
            sizes = sorted({0, size - 1, size + 1})
        if meaning["frame"] == "CALL":
            continue  # which fields it knows depends on the method
        for size in sizes:
            yield bad(f"{name} of {size} bytes", field(key, b"\0" * size))
        if form not in ("message", "model", "statistic") and not key & 0x4000:
            good = b"" if form in ("text", "ids") else b"\0" * struct.calcsize("<" + form)
            yield bad(f"{name} twice", field(key, good), field(key, good))


def more_malformed():
    """Violations inside values."""
    asked = payload({"frame": "GENERATE", "credit": 1})
    for name, message in (("empty", b""), ("with a role longer than itself", b"\x05user"), ("of a length alone", b"\x01")):
        yield Vector("7.1", f"a message {name}", "server").fails(framed(0x90, 1, asked + field(0x4004, message)))
        yield Vector("7.1", f"a message to tokenize, {name}", "server").fails(
            framed(0x91, 1, struct.pack("<HH", 3, 0) + field(0x4004, message))
        )
    yield Vector("7.1", "ids to detokenize of 5 bytes", "server").fails(
        framed(0x91, 1, struct.pack("<HH", 4, 0) + field(3, b"\0" * 5))
    )
    embed = payload(call(method="embed", prompt="hi"))
    for name, key, size in (("pooling", 16, 1), ("normalize", 17, 1), ("timeout", 18, 4)):
        for wrong in (size - 1, size + 1):
            yield Vector("7.1", f"embed with {wrong} bytes of {name}", "server").fails(
                framed(0x91, 1, embed + field(key, b"\1" * wrong))
            )
    embed = call(method="embed", prompt="hi")
    for wrong in (1, 5):
        yield Vector("7.1", f"an embedding of {wrong} bytes", "client", embed).fails(
            framed(0xA4, 1, field(7, b"\0" * wrong))
        )
    yield Vector("7.1", "prompt tokens of an embedding in 3 bytes", "client", embed).fails(
        framed(0xA4, 1, field(16, b"\0" * 3))
    )
    long = b"n" * 257
    for name, key in (("request id", 1), ("model's name", 2)):
        yield Vector("8", f"a {name} of 257 bytes in ACCEPT", "client", generate()).fails(
            framed(0xA0, 1, struct.pack("<I", 0) + field(key, long))
        )
    yield Vector("8", "a client's name of 257 bytes", "server", greeted=False).fails(
        PREFACE + framed(0x81, 0, payload({"frame": "HELLO", "max_payload": 65_536}) + field(2, long))
    )
    yield Vector("8", "a statistic's name of 257 bytes", "client", call(method="statistics")).fails(
        framed(0xA4, 1, field(0x4006, b"\0" * 8 + long))
    )
    models = call(method="models")
    inner = field(1, b"m")
    for name, data in {
        "ends within a field's head": inner + b"\2\0", "has a field longer than itself": inner + struct.pack("<HI", 2, 9),
        "has keys that fall": field(2, b"a") + field(1, b"m"), "has a context length of 3 bytes": inner + field(5, b"\0" * 3),
        "has an unknown critical field": inner + field(0x8009, b""), "is not UTF-8": field(1, b"\xff"),
    }.items():
        yield Vector("6.15", f"a model that {name}", "client", models).fails(framed(0xA4, 1, field(0x4005, data)))
    yield Vector("6.15", "a model with an unknown field", "client", models).delivers(
        framed(0xA4, 1, field(0x4005, value("model", {"name": "m"}) + field(0x100, b"?"))),
        reply(method="models", models=[{"name": "m"}]),
    )


def extensions():
    """Section 9: what a version does not know, and fields that are not said."""
    known = set(TYPES.values())
    for end in ("server", "client"):
        peer = "client" if end == "server" else "server"
        for kind in (0x00, 0x01, 0x10, 0x23, 0x70, 0x7F):
            assert kind not in known
            for stream in (0, 1, U32_MAX):
                yield Vector("4", f"the unknown type {kind:#04x} on stream {stream}, to a {end}", end).receive(
                    framed(kind, stream, b"\1\2\3"), "skip"
                ).frames(ping(), sender=peer)
        for kind in (0x80, 0x85, 0x87, 0x8F, 0x95, 0xA5, 0xF0, 0xFF):
            assert kind not in known
            yield Vector("4", f"the unknown critical type {kind:#04x}, to a {end}", end).fails(framed(kind, 0, b""))
        yield Vector("4", f"a skipped frame of 5,000 bytes, to a {end}", end).receive(
            framed(0x70, 0, b"x" * 5_000), "skip"
        ).frames(ping(), sender=peer)
    opened = [generate(), accept()]
    for end, before, meaning in EXAMPLES:
        frame, stream = meaning["frame"], meaning["stream"]
        if frame in EXACT or frame == "TOKENS":
            continue
        tail = field(0x100, b"?") + field(0x101, b"") + field(0x4100, b"1") + field(0x4100, b"2")
        yield Vector("9", f"unknown fields of {frame} on stream {stream}, to a {end}", end, *before).delivers(
            framed(TYPES[frame], stream, payload(meaning) + tail), meaning
        )
    yield Vector("6.13", "FINISH, the shortest", "client", generate(), accept()).delivers(
        framed(0xA2, 1, payload({"frame": "FINISH"})), {"frame": "FINISH", "stream": 1, "reason": 1}
    )
    yield Vector("6.14", "ERROR, the shortest", "client", generate()).delivers(
        framed(0xA3, 1, payload(error())[:8]), {"frame": "ERROR", "stream": 1, "code": "OVERLOADED"}
    )
    yield Vector("6.15", "REPLY without a field", "client", call()).delivers(framed(0xA4, 1, b""), reply())
    yield Vector("6.15", "REPLY tokenize without an id", "client", call(method="tokenize", prompt="")).delivers(
        framed(0xA4, 1, field(3, b"")), reply(method="tokenize", ids=[])
    )
    yield Vector("9", "an unknown reason of FINISH", "client", *opened, finish(reason=99))
    yield Vector("9", "an unknown phase of PROGRESS", "client", *opened, progress(phase=9))
    yield Vector("9", "an unknown code of ERROR", "client", generate(), error(code=60_000, message="new"))
    yield Vector("9", "an unknown reason of GOAWAY", "client", goaway(0, reason=60_000))
    yield Vector("9", "an unknown health", "client", call(), health(status=200))
    yield Vector("9", "an unknown reason of CANCEL", "server", generate(), cancel(reason=60_000))
    for end, before, data, meaning in (
        ("server", [], b"\x40\0\0\0\0\0\0\0\x03\xf8\xff\xff" + field(2, b"hi"), generate(flags=0xF8)),
        ("server", [], b"\1\0\xff\xff", call()),
        ("client", opened, b"\1\xff\xff\xff" + payload(progress())[4:], progress()),
        ("client", opened, b"\1\xff\xff\xff" + payload(finish())[4:], finish()),
        ("client", [generate()], b"\x0a\0\xfe\xff" + payload(error())[4:], error()),
    ):
        meaning = {name: of for name, of in meaning.items() if name != "flags"}
        yield Vector("2", f"reserved bits of {meaning['frame']} are ignored", end, *before).delivers(
            framed(TYPES[meaning["frame"]], 1, data), meaning
        )


def asked(name, code="INVALID", **more):
    """A well-formed GENERATE that is answered by ERROR on its stream."""
    meaning = {"frame": "GENERATE", "stream": 1, "credit": 1, "prompt": "hi"} | more
    return Vector("6.5", name, "server").rejects(encode(meaning), code)


def asked_by_fields(name, *fields):
    return Vector("6.5", name, "server").rejects(
        framed(0x90, 1, payload({"frame": "GENERATE", "credit": 1}) + b"".join(fields))
    )


def content():
    """Section 7.2: well-formed requests that contradict themselves or exceed a limit of section 8."""
    yield asked_by_fields("no prompt")
    yield asked("a text and ids", prompt_ids=[1])
    yield asked("a text and messages", messages=[{"role": "user", "content": "a"}])
    yield asked_by_fields("ids and messages", field(3, b"\0" * 4), field(0x4004, b"\4usera"))
    yield asked("65 stop tokens", stop_tokens=[1] * 65)
    yield asked("17 stop strings", stop=["x"] * 17)
    yield asked("a stop string of 257 bytes", stop=["x" * 257])
    yield asked("a model's name of 257 bytes", model="m" * 257)
    yield asked_by_fields("a role of 33 bytes", field(0x4004, value("message", {"role": "r" * 33, "content": "hi"})))
    yield asked_by_fields("2,049 messages", *[field(0x4004, b"\4usera")] * 2_049)
    hello = field(0x4004, b"\4usera")
    for name, key in (("tools", 0x8005), ("template arguments", 0x8006)):
        of = field(key, b"[]" if key == 0x8005 else b"{}")
        yield asked_by_fields(f"{name} and ids", field(3, b"\0" * 4), of)
        yield Vector("6.5", f"{name} and a raw text", "server").rejects(
            framed(0x90, 1, payload(generate(flags=1)) + of)
        )
        yield Vector("6.6", f"{name} and a text to tokenize", "server").rejects(
            framed(0x91, 1, struct.pack("<HH", 3, 0) + field(2, b"a") + of)
        )
        yield Vector("6.6", f"{name} and ids to tokenize", "server").rejects(
            framed(0x91, 1, struct.pack("<HH", 3, 0) + field(3, b"\0" * 4) + of)
        )
        for method in ("health", "models", "detokenize", "statistics"):
            yield Vector("6.6", f"{name} for {method}", "server").rejects(
                framed(0x91, 1, payload(call(method=method)) + (field(3, b"\0" * 4) if method == "detokenize" else b"") + of)
            )
        yield asked_by_fields(f"{name} that are not UTF-8", hello, field(key, b"[\xff]"))
    yield asked_by_fields("tools of 262,145 bytes", hello, field(0x8005, b"[" + b" " * 262_143 + b"]"))
    yield asked_by_fields("template arguments of 16,385 bytes", hello, field(0x8006, b"{" + b" " * 16_383 + b"}"))
    yield asked_by_fields("members for message 1 of one", hello, field(0xC007, b"\1\0{}"))
    yield asked_by_fields("members for message 65,535 of one", hello, field(0xC007, b"\xff\xff{}"))
    yield asked_by_fields("members and a text", field(2, b"a"), field(0xC007, b"\0\0{}"))
    yield asked_by_fields("members twice for a message", hello, *[field(0xC007, b"\0\0{}")] * 2)
    yield asked_by_fields("members that are not UTF-8", hello, field(0xC007, b"\0\0\xff"))
    yield Vector("6.6", "an unknown method", "server").rejects(encode(call(method=77)), "NOT_FOUND")
    yield Vector("6.6", "method 0", "server").rejects(encode(call(method=0)), "NOT_FOUND")
    yield Vector("6.6", "nothing to tokenize", "server").rejects(encode(call(method="tokenize")))
    yield Vector("6.6", "two prompts to tokenize", "server").rejects(
        encode(call(method="tokenize", prompt="a", prompt_ids=[1]))
    )
    yield Vector("6.6", "nothing to detokenize", "server").rejects(encode(call(method="detokenize")))
    embed = call(method="embed", prompt="hi")
    yield Vector("6.6", "nothing to embed", "server").rejects(encode(call(method="embed")))
    yield Vector("6.6", "two prompts to embed", "server").rejects(encode(embed | {"prompt_ids": [1]}))
    for name, wrong in {"pooling": [0, 3, 255], "normalize": [2, 255]}.items():
        for of in wrong:
            yield Vector("6.6", f"{name} {of}", "server").rejects(encode(embed | {name: of}))
    vector = Vector("7.2", "other streams are not touched", "server", generate(), accept())
    yield vector.rejects(encode(generate(2, model="m" * 257))).frames(ping(), sender="client").frames(some_tokens())


def values():
    """Section 7.2: values out of their range."""
    yield asked("priority 8", priority=8)
    for name, wrong in {
        "temperature": [-0.5, 2.5], "top_p": [0.0, -1.0, 1.5], "min_p": [-0.5, 1.5], "repetition_penalty": [0.0, 2.5],
        "presence_penalty": [-2.5, 2.5], "frequency_penalty": [-2.5, 2.5], "logprobs": [21, 255], "max_tokens": [0],
        "first_token_timeout": [0], "token_gap_timeout": [0],
    }.items():  # fmt: skip
        for of in wrong:
            yield asked(f"{name} {of}", **{name: of})
        key, form = FIELDS["GENERATE"][name]
        if form == "f":
            for what, bits in {"NaN": 0x7FC00000, "infinity": 0x7F800000, "-infinity": 0xFF800000}.items():
                yield asked_by_fields(f"{name} {what}", field(2, b"hi"), field(key, struct.pack("<I", bits)))
    yield asked("an empty stop string", stop=[""])
    yield asked_by_fields("no ids", field(3, b""))
    yield asked("more least than most tokens", max_tokens=4, min_tokens=5)
    for name, key, prefix, wrong in (
        ("tools", 0x8005, b"", ["", "[", "{}", "null", "[1]", "[{}] x", "[{\"a\": 1, \"a\": 2}]", "[" * 65 + "]" * 65]),
        ("template arguments", 0x8006, b"", ["", "[]", "{\"a\"}", "{\"messages\": []}", "{\"bos_token\": \"\"}"]),
        ("members", 0xC007, b"\0\0", ["", "[]", "{", "{\"role\": \"user\"}", "{\"content\": \"b\"}", "{\"content\": null}"]),
    ):  # fmt: skip
        for of in wrong:
            yield asked_by_fields(f"{name} {of[:24]}", field(0x4004, b"\4usera"), field(key, prefix + of.encode()))
    yield asked_by_fields("an unknown role", field(0x4004, value("message", {"role": "robot", "content": "hi"})))
