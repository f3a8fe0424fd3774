#!/usr/bin/env python3
"""make_seeds.py FOLDER: writes the fuzzer's first inputs there, a folder a target, from Tests/Vectors and Tests/Goldens.

A fuzzer finds its way from good inputs to bad ones far sooner than from nothing.
"""

import base64
import hashlib
import json
import pathlib
import struct
import sys

root = pathlib.Path(__file__).resolve().parent.parent
# The order of Tests/FuzzProperties/Messages.swift.
kinds = [0x90, 0x91, 0x94, 0x92, 0xA0, 0xA1, 0x22, 0xA2, 0xA3, 0xA4]


def keep(target, data):
    folder = pathlib.Path(sys.argv[1]) / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def frames(data):
    while len(data) >= 8:
        end = 8 + int.from_bytes(data[:3], "little")
        yield data[:end]
        data = data[end:]


for file in sorted((root / "Tests" / "Vectors").glob("*.json")):
    for vector in json.loads(file.read_text())["vectors"]:
        if "steps" not in vector:
            continue
        received = b"".join(bytes.fromhex(step["in"]) for step in vector["steps"] if "in" in step)
        if len(received) > 4_000:
            continue
        if not vector["greeted"]:
            keep("handshake", received)
            continue
        keep("frames", b"\x80" + received)
        for frame in frames(received):
            if frame[3] in kinds:
                keep("messages", bytes([kinds.index(frame[3]), 0, 0, 0, 0]) + frame[8:])
            if len(frame) < 256:
                keep("server", bytes([7, 0, len(frame)]) + frame)
                keep("client", bytes([0, 0, 100, 15, 0, len(frame)]) + frame)

# A credential and an agent as long as they may be.
keep("handshake", b"\1" + b"k" * 1_024)
keep("handshake", b"\2" + b"a" * 256)

# A request from GENERATE to FINISH, a RESUME, and connections that end, as scripts for the two state machines.
keep("server", bytes([0, 1, 9, 8, 1, 0, 9, 1, 0, 2, 2, 1, 20, 2, 9, 1, 2, 1, 10, 1, 3, 1, 2, 1, 12, 2]))
keep("server", bytes([0, 1, 9, 8, 1, 0, 13, 0, 1, 0, 2, 9, 3, 1, 11, 1, 14, 0]))
keep("server", bytes([4, 1, 5, 9, 8, 1, 5, 9, 1, 5, 3, 2, 1, 40, 7, 10, 1, 8]))
keep("client", bytes([0, 0, 9, 8, 1, 0, 9, 1, 0, 2, 4, 1, 20, 2, 9, 1, 2, 1, 10, 1, 1, 3, 0, 2, 0, 12, 2]))
keep("client", bytes([0, 0, 9, 1, 0, 9, 8, 1, 0, 13, 0, 1, 11, 1, 1, 7, 7, 0]))
keep("client", bytes([3, 0, 5, 9, 8, 1, 5, 9, 1, 5, 3, 5, 1, 10, 1, 3, 8, 0]))

# Model files: templates as they are, the rest from what the tests compare with the reference.
goldens = root / "Tests" / "Goldens"
for file in sorted((goldens / "templates").glob("*.jinja")):
    keep("template", file.read_bytes())
for model in json.loads((goldens / "families.json").read_text()):
    keep("configuration", model["config"].encode())
    keep("json", model["config"].encode())
for case in json.loads((goldens / "lora.json").read_text()):
    for adapter in case["adapters"]:
        keep("configuration", adapter["config"].encode())
for case in json.loads((goldens / "safetensors.json").read_text()):
    header = base64.b64decode(case["header"])
    if len(header) + case["data"] < 4_000:
        keep("safetensors", struct.pack("<Q", len(header)) + header + bytes(case["data"]))


def small(document):
    """The tokenizer with few of its tokens, so that mutations hit more than its vocabulary."""
    model = document["model"]
    added = [token["content"] for token in document["added_tokens"]]
    words = list(model["vocab"])
    model["vocab"] = {word: index for index, word in enumerate(dict.fromkeys(added + words[:60]))}
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"])
    known = model["vocab"]
    model["merges"] = [[a, b] for a, b in pairs if a in known and b in known and a + b in known][:20]
    for token in document["added_tokens"]:
        token["id"] = known[token["content"]]
    return document


for case in json.loads((goldens / "tokenizers.json").read_text())["tokenizers"]:
    keep("tokenizer", json.dumps(small(json.loads(case["tokenizer"])), ensure_ascii=False).encode())


def gguf():
    """A model of one layer, four elements wide, with three tokens."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    def number(key, value):
        return text("llama." + key) + struct.pack("<II", 4, value)

    def texts(key, values):
        return text(key) + struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))

    pairs = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"), number("block_count", 1),
        number("embedding_length", 4), number("feed_forward_length", 4), number("context_length", 8),
        number("attention.head_count", 2), text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5),
        text("tokenizer.ggml.model") + struct.pack("<I", 8) + text("gpt2"), texts("tokenizer.ggml.merges", ["a b"]),
        texts("tokenizer.ggml.tokens", ["a", "b", "ab"]),
        text("tokenizer.ggml.token_type") + struct.pack("<IIQ3i", 9, 5, 3, 1, 1, 1),
    ]
    names = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    shapes = {"token_embd.weight": [4, 3], "output_norm.weight": [4]}
    shapes |= {f"blk.0.{name}.weight": [4, 4] for name in names}
    shapes |= {f"blk.0.{name}.weight": [4] for name in ["attn_norm", "ffn_norm"]}
    infos, offset = b"", 0
    for name, shape in shapes.items():
        infos += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += 64
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(pairs)) + b"".join(pairs) + infos
    return head + bytes(-len(head) % 32 + offset)


keep("gguf", gguf())
