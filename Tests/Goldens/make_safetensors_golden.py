"""Writes safetensors.json: small files, sound and not, and whether the reference library reads them.

    pip install safetensors numpy; python make_safetensors_golden.py > safetensors.json

A case is the header's text (base64), what its length is said to be when that is not so, and the number of bytes behind
it. `accepted` is the library's verdict. `stricter` marks what it reads and this project refuses on purpose: keys that
occur twice, a header that does not begin with '{' (the format forbids it), and more JSON than the parser's depth.
"""

import base64
import json
import random
import sys

from safetensors import deserialize

SIZES = dict(BOOL=8, F4=4, F6_E2M3=6, F6_E3M2=6, U8=8, I8=8, F8_E5M2=8, F8_E4M3=8, F8_E8M0=8, F8_E4M3FNUZ=8,
             F8_E5M2FNUZ=8, I16=16, U16=16, F16=16, BF16=16, I32=32, U32=32, F32=32, C64=64, F64=64, I64=64, U64=64)


def tensor(dtype="F32", shape=(2, 2), offsets=(0, 16), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def three():
    return {"__metadata__": {"format": "pt"}, "a": tensor(), "b": tensor("BF16", [3], [16, 22]),
            "c": tensor("I8", [2, 1, 5], [22, 32])}


def changed(**tensors):
    header = three()
    header.update(tensors)
    return {key: value for key, value in header.items() if value is not None}


CASES = []


def case(name, header, data=32, declared=None, stricter=False):
    text = header if isinstance(header, bytes) else header.encode() if isinstance(header, str) else json.dumps(header).encode()
    length = len(text) if declared is None else declared
    file = length.to_bytes(8, "little") + text + bytes(data)
    try:
        deserialize(file)
        accepted = True
    except Exception:
        accepted = False
    result = dict(name=name, header=base64.b64encode(text).decode(), data=data, accepted=accepted)
    if declared is not None:
        result["declared"] = str(declared)
    if stricter:
        assert accepted, name
        result["stricter"] = True
    CASES.append(result)


def lengths():
    case("sound", three())
    case("no tensors", {}, 0)
    case("no tensors but metadata", {"__metadata__": {}}, 0)
    case("no tensors but a byte", {}, 1)
    text = json.dumps(three())
    case("padded with spaces", text + "    ")
    case("padded with line ends", text + "\n\r\t ")
    case("padded with zeros", text + "\0")
    case("space before the header", " " + text, stricter=True)
    case("byte order mark", "\ufeff" + text)
    for declared in [0, 1, len(text) - 1, len(text) + 1, len(text) + 32, len(text) + 33, 100_000_000, 100_000_001,
                     2**31, 2**32 + len(text), 2**62, 2**63 - 8, 2**63, 2**64 - 8, 2**64 - 1]:
        case(f"header of {declared} bytes", text, declared=declared)
    for data in [0, 1, 16, 31, 33, 64]:
        case(f"{data} bytes of data", three(), data)
    case("empty header", "", 0)
    case("an array", "[]", 0)
    case("a string", '"{}"', 0)
    case("null", "null", 0)
    case("two documents", "{}{}", 0)
    case("invalid UTF-8", b'{"a\xff":' + json.dumps(tensor()).encode() + b"}", 16)
    case("unfinished", text[:-1])


def shapes():
    for dtype, bits in SIZES.items():
        case(f"{dtype}", {"t": tensor(dtype, [8], [0, bits])}, bits)
        case(f"{dtype}, a byte short", {"t": tensor(dtype, [8], [0, bits - 1])}, bits - 1)
    case("F4, half a byte", {"t": tensor("F4", [3], [0, 1])}, 1)
    case("F6, part of a byte", {"t": tensor("F6_E2M3", [3], [0, 2])}, 2)
    for dtype in ["F128", "f32", "", None, 5, "F32 "]:
        case(f"dtype {dtype!r}", {"t": tensor(dtype)}, 16)
    case("a number alone", {"t": tensor("F32", [], [0, 4])}, 4)
    case("no elements", {"t": tensor("F32", [0], [0, 0])}, 0)
    case("no elements between others", changed(z=tensor("F32", [5, 0], [16, 16])))
    case("no elements in the middle of another", changed(z=tensor("F32", [0], [8, 8])))
    for shape in [[-1, 2], [2.0, 2], [2.5, 2], ["2", 2], [None], [[2, 2]], [True, 4], [2**63], [2**64], [1e3],
                  [2**32, 2**32], [2**62, 2**62, 2**62], [2**61, 8], [2**31, 2**31], [2**62 + 1, 4], [0, 2**63 - 1],
                  [2, 2, 1, 1, 1, 1, 1, 1, 1, 1], [4], [1, 4], [2, 3]]:
        case(f"shape {shape}", {"t": tensor("F32", shape)}, 16)
    for shape in [None, {}, "2,2", 4]:
        case(f"shape {shape!r}", {"t": {**tensor(), "shape": shape}}, 16)


def places():
    for offsets in [[0, 15], [0, 17], [1, 17], [4, 20], [16, 0], [-1, 15], [0, 2**63], [0, 2**64], [0.0, 16], ["0", 16],
                    [0], [], [0, 16, 16], [2**63 - 16, 2**63], [2**64 - 16, 2**64 - 1], None, {}, "0,16", 16]:
        header = {"t": {**tensor(), "data_offsets": offsets}}
        case(f"offsets {offsets}", header, 16)
    case("gap at the start", {"a": tensor(offsets=[16, 32])})
    case("gap", {"a": tensor(), "b": tensor(offsets=[20, 36])}, 36)
    case("overlap", {"a": tensor(), "b": tensor(offsets=[12, 28])}, 28)
    case("same place", {"a": tensor(), "b": tensor()}, 16)
    case("one inside the other", {"a": tensor("F32", [8], [0, 32]), "b": tensor(offsets=[8, 24])})
    case("another order", {"b": tensor(offsets=[16, 32]), "a": tensor()})
    case("last one missing", changed(c=None))
    case("middle one missing", changed(b=None))
    case("larger by wrapping", {"a": tensor("F32", [4], [0, 2**64 + 16])}, 16)


def members():
    for key in ["dtype", "shape", "data_offsets"]:
        entry = tensor()
        del entry[key]
        case(f"no {key}", {"t": entry}, 16)
    case("a member more", {"t": tensor(comment="hello")}, 16)
    case("a tensor that is no object", changed(d=[1]))
    case("a tensor that is null", {"d": None}, 0)
    for metadata in [{}, None, {"a": "b"}, {"a": 1}, {"a": None}, {"a": {}}, [], "text", 5, {"a": ""}]:
        case(f"metadata {metadata!r}", {"__metadata__": metadata, "t": tensor()}, 16)
    case("empty name", {"": tensor()}, 16)
    case("name with escapes", '{"a\\u00e9\\n\\ud83d\\ude00":' + json.dumps(tensor()) + "}", 16)
    case("name with half a surrogate", '{"a\\ud83d":' + json.dumps(tensor()) + "}", 16)
    case("name with a control character", b'{"a\x01":' + json.dumps(tensor()).encode() + b"}", 16)
    body = json.dumps(tensor())
    case("the same tensor twice", f'{{"a":{body},"a":{body}}}', 16, stricter=True)
    case("dtype twice", f'{{"a":{body[:-1]},"dtype":"F32"}}}}', 16)
    case("metadata twice", f'{{"__metadata__":{{}},"__metadata__":{{}},"a":{body}}}', 16)
    case("a comma too many", f'{{"a":{body},}}', 16)
    case("comment", f'{{/**/"a":{body}}}', 16)
    case("single quotes", f"{{'a':{body}}}", 16)
    case("NaN", '{"a":NaN}', 0)
    case("deep", {"t": tensor()} | {"u": json.loads("[" * 60 + "]" * 60)}, 16)
    deep = "[" * 100 + "]" * 100
    case("a deep member more", f'{{"a":{body[:-1]},"x":{deep}}}}}', 16, stricter=True)


def mutations():
    """Sound files with one or two bytes of the header replaced."""
    choice = random.Random(18)
    for number in range(250):
        text = bytearray(json.dumps(three(), separators=(",", ":")).encode())
        for _ in range(choice.choice([1, 1, 2])):
            place = choice.randrange(len(text))
            text[place] = choice.choice([choice.randrange(256), ord(choice.choice('0123456789"{}[]:,-.eE \\nIF'))])
        case(f"mutation {number}", bytes(text))


def main():
    for part in [lengths, shapes, places, members, mutations]:
        part()
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    print("[" + ",\n".join(json.dumps(case) for case in CASES) + "]")
    print(len(CASES), "cases,", sum(case["accepted"] for case in CASES), "accepted", file=sys.stderr)


if __name__ == "__main__":
    main()
