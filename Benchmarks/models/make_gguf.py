#!/usr/bin/env python3
"""Writes the random folder of a Qwen2 shape (make_random_folder.py) as one GGUF file in bfloat16, which llama.cpp reads.

    make_gguf.py FOLDER FILE
"""

import json
import mmap
import pathlib
import struct
import sys

# Numbers of GGUF's types of values and of tensors.
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9
TENSOR_FLOAT32, TENSOR_BFLOAT16 = 0, 30
ALIGNMENT = 32
NORMAL_TOKEN, CONTROL_TOKEN, UNUSED_TOKEN = 1, 3, 5

NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    module, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[module]}.{kind}"


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return string(content)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f"}[kind], content)


def entry(key, kind, content):
    if isinstance(content, list):
        items = b"".join(value(kind, item) for item in content)
        return string(key) + struct.pack("<IIQ", ARRAY, kind, len(content)) + items
    return string(key) + struct.pack("<I", kind) + value(kind, content)


def metadata(folder):
    configuration = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    size = configuration["vocab_size"]
    tokens, kinds = [f"[unused{number}]" for number in range(size)], [UNUSED_TOKEN] * size
    for text, number in tokenizer["model"]["vocab"].items():
        tokens[number], kinds[number] = text, NORMAL_TOKEN
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]], kinds[added["id"]] = added["content"], CONTROL_TOKEN
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
    return [
        entry("general.architecture", STRING, "qwen2"),
        entry("general.name", STRING, folder.name),
        entry("qwen2.context_length", UINT32, configuration["max_position_embeddings"]),
        entry("qwen2.embedding_length", UINT32, configuration["hidden_size"]),
        entry("qwen2.feed_forward_length", UINT32, configuration["intermediate_size"]),
        entry("qwen2.block_count", UINT32, configuration["num_hidden_layers"]),
        entry("qwen2.attention.head_count", UINT32, configuration["num_attention_heads"]),
        entry("qwen2.attention.head_count_kv", UINT32, configuration["num_key_value_heads"]),
        entry("qwen2.attention.layer_norm_rms_epsilon", FLOAT32, configuration["rms_norm_eps"]),
        entry("qwen2.rope.freq_base", FLOAT32, configuration["rope_theta"]),
        entry("tokenizer.ggml.model", STRING, "gpt2"),
        entry("tokenizer.ggml.pre", STRING, "qwen2"),
        entry("tokenizer.ggml.tokens", STRING, tokens),
        entry("tokenizer.ggml.token_type", INT32, kinds),
        entry("tokenizer.ggml.merges", STRING, merges),
        entry("tokenizer.ggml.eos_token_id", UINT32, configuration["eos_token_id"]),
    ]


def widened(content):
    """bfloat16 as float32."""
    wide = bytearray(2 * len(content))
    wide[2::4], wide[3::4] = content[0::2], content[1::2]
    return wide


def tensors(path):
    """Name, extents and bytes of each tensor of a safetensors file: llama.cpp wants vectors in float32."""
    with open(path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    length = struct.unpack_from("<Q", data)[0]
    for name, about in json.loads(bytes(data[8:8 + length])).items():
        if name == "__metadata__":
            continue
        first, last = (8 + length + offset for offset in about["data_offsets"])
        content = data[first:last]
        yield gguf_name(name), about["shape"], widened(content) if len(about["shape"]) == 1 else content


def main():
    folder, file = map(pathlib.Path, sys.argv[1:])
    values, members, infos, end = metadata(folder), list(tensors(folder / "model.safetensors")), [], 0
    for name, extents, content in members:
        kind = TENSOR_FLOAT32 if len(extents) == 1 else TENSOR_BFLOAT16
        infos.append(string(name) + struct.pack(f"<I{len(extents)}QIQ", len(extents), *reversed(extents), kind, end))
        end += len(content) + -len(content) % ALIGNMENT
    part = file.with_name(file.name + ".part")
    with open(part, "wb") as output:
        output.write(b"GGUF" + struct.pack("<IQQ", 3, len(members), len(values)) + b"".join(values) + b"".join(infos))
        for _, _, content in members:
            output.write(b"\0" * (-output.tell() % ALIGNMENT))
            output.write(content)
    part.rename(file)
    print(f"{file}: {len(members)} tensors, {file.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
