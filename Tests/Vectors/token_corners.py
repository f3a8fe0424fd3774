"""The corners of TOKENS: section 6.11."""

import struct

from conversations import Vector, accept, finish, generate, resume, some_tokens
from encoder import U32_MAX, encode, framed, tokens


def tokens_corners():
    """TOKENS: 6.11."""
    def opened(name, *frames, ask=None):
        return Vector("6.11", name, "client", generate(credit=U32_MAX, **(ask or {})), accept(), *frames)

    yield opened("one token of 6 bytes, a frame of 22", some_tokens(texts=[" token"]))
    yield opened("an empty text", some_tokens(texts=[""]))
    yield opened("all texts empty", some_tokens(texts=["", "", ""]))
    yield opened("only the last text", some_tokens(texts=["", "", "abc"]))
    yield opened("only the first text", some_tokens(texts=["abc", "", ""]))
    yield opened("255 tokens", some_tokens(texts=[chr(97 + n % 26) for n in range(255)]))
    yield opened("a text of 255 bytes needs no wide lengths", some_tokens(texts=["x" * 255, "y"]))
    yield opened("a text of 256 bytes needs wide lengths", some_tokens(texts=["x" * 256, "y"]))
    yield opened("a long last text needs no wide lengths", some_tokens(texts=["y", "x" * 256]))
    yield opened("texts of 4,096 bytes, 16,384 in the frame", some_tokens(texts=["x" * 4_096] * 4))
    yield opened("4,096 bytes of characters of 4", some_tokens(texts=["😀" * 1_024]))
    yield opened("negative and largest ids", some_tokens() | {
        "tokens": [{"id": -1, "text": "a"}, {"id": 2**31 - 1, "text": "b"}, {"id": -(2**31), "text": "c"}]
    })  # fmt: skip
    yield opened("characters of 1, 2, 3 and 4 bytes, and U+0000", some_tokens(texts=["a", "é", "你", "😀", "\0"]))
    yield opened("U+FEFF, U+FFFD, U+FFFF and U+10FFFF are characters", some_tokens(
        texts=["\ufeff", "\ufffd", "\uffff", "\U0010ffff", "\ud7ff", "\ue000"]
    ))  # fmt: skip
    entries = [
        {"id": 9, "text": "", "entries": [[9, -0.5]]},
        {"id": 8, "text": "a", "entries": [[8, -1.0], [7, -0.25], [8, -1.0]]},
    ]
    logprobs = {"logprobs": 20}
    yield opened("log-probabilities", some_tokens() | {"tokens": entries}, ask=logprobs)
    most = [{"id": 1, "text": "x", "entries": [[n, -float(n)] for n in range(21)]}] * 3
    yield opened("21 entries for each token", some_tokens() | {"tokens": most}, ask=logprobs)
    wide = [{"id": 1, "text": "x" * 300, "entries": [[1, -2.0]]}, {"id": 2, "text": "y", "entries": [[2, -3.0]]}]
    yield opened("log-probabilities and wide lengths", some_tokens() | {"tokens": wide}, ask=logprobs)
    yield opened("wide lengths that were not needed").delivers(
        framed(0xA1, 1, tokens(some_tokens(), wide=True)), some_tokens()
    )
    yield opened("wide lengths of one token, which has none").delivers(
        framed(0xA1, 1, tokens(some_tokens(texts=["a"]), wide=True)), some_tokens(texts=["a"])
    )

    # The index has 16 bits on the wire and 32 in both minds.
    def before_wrap(name):
        vector = Vector("6.11", name, "client", resume(index=65_530, credit=U32_MAX), accept(index=65_530))
        return vector.frames(some_tokens(first=65_530, texts=["u"] * 5))

    yield before_wrap("the index passes 65,536 between two frames").frames(
        some_tokens(first=65_535, texts=["v"]), some_tokens(first=65_536, texts=["w", "x"]),
        finish(count=65_538, crc32c=1),
    )  # fmt: skip
    yield before_wrap("the index passes 65,536 inside a frame").frames(
        some_tokens(first=65_535, texts=["v", "w", "x"]), some_tokens(first=65_538, texts=["y"])
    )
    yield before_wrap("the index wraps too early").fails(encode(some_tokens(first=0, texts=["v"])))
    yield before_wrap("an index of before the wrap").frames(some_tokens(first=65_535, texts=["v", "w"])).fails(
        encode(some_tokens(first=65_535, texts=["x"]))
    )

    def bad(name, data, kind=0xA1):
        return opened(name).fails(framed(kind, 1, data))

    one = struct.pack("<HBBi", 0, 1, 0, 7)
    yield bad("no token", struct.pack("<HBB", 0, 0, 0))
    for bit in (4, 8, 16, 32, 64, 128):
        yield bad(f"the unknown flag {bit}", struct.pack("<HBBi", 0, 1, bit, 7) + b"a")
    yield bad("an empty payload", b"")
    yield bad("shorter than its fixed part", b"\0\0\1")
    yield bad("ends within the ids", one[:-1])
    yield bad("ends before the lengths", struct.pack("<HBBiii", 0, 3, 0, 1, 2, 3) + b"\1")
    yield bad("ends within wide lengths", struct.pack("<HBBii", 0, 2, 2, 1, 2) + b"\1")
    yield bad("a length beyond the frame", struct.pack("<HBBii", 0, 2, 0, 1, 2) + b"\3ab")
    yield bad("a wide length beyond the frame", struct.pack("<HBBii", 0, 2, 2, 1, 2) + b"\xff\xffab")
    yield bad("ends before the numbers of entries", struct.pack("<HBBi", 0, 1, 1, 7))
    yield bad("22 entries", struct.pack("<HBBi", 0, 1, 1, 7) + b"\x16" + struct.pack("<if", 7, -1.0) * 22)
    yield bad("ends within the entries", struct.pack("<HBBi", 0, 1, 1, 7) + b"\x01" + b"\0" * 7)
    yield bad("a text of 4,097 bytes", one + b"x" * 4_097)
    yield bad("a first text of 4,097 bytes", struct.pack("<HBBii", 0, 2, 2, 1, 2) + struct.pack("<H", 4_097) + b"x" * 4_098)
    yield bad("16,385 bytes of text", struct.pack("<HBB5i", 0, 5, 2, *range(5)) + struct.pack("<4H", *[4_000] * 4) + b"x" * 16_385)
    yield opened("an index that was already there", some_tokens()).fails(encode(some_tokens(first=2)))
    yield opened("an index that skips a token", some_tokens()).fails(encode(some_tokens(first=4)))
    yield opened("an index other than ACCEPT's").fails(encode(some_tokens(first=1)))
    short = Vector("5.1", "the last token that the credit allows", "client", generate(credit=3), accept(), some_tokens())
    yield short
    yield Vector("5.1", "one token beyond the credit", "client", generate(credit=2), accept()).fails(encode(some_tokens()))
    yield Vector("5.1", "a token without credit", "client", generate(credit=0), accept()).fails(
        encode(some_tokens(texts=["a"]))
    )
