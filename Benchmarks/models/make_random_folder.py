#!/usr/bin/env python3
"""Writes a Hugging Face folder of random bfloat16 weights in the shape of a real model, to measure loading,
quantizing and speed without downloading one. What it says is nonsense.

    make_random_folder.py SHAPE FOLDER [--tokenizer tokenizer.json]

Shapes: those of SHAPES below. The tokenizer is Qwen's; without --tokenizer it is taken from
$XDG_CACHE_HOME/lmcall/tokenizers/qwen.json.
"""

import argparse
import json
import os
import pathlib
import shutil
import struct
import sys

SHAPES = {
    "qwen2.5-0.5b": dict(hidden=896, inner=4864, layers=24, heads=14, kv=2, vocabulary=151936, tied=True),
    "qwen2.5-1.5b": dict(hidden=1536, inner=8960, layers=28, heads=12, kv=2, vocabulary=151936, tied=True),
    "qwen2.5-7b": dict(hidden=3584, inner=18944, layers=28, heads=28, kv=4, vocabulary=152064, tied=False),
}
BLOCK = 16 << 20
SHARD = 4 << 30


def random_block() -> bytes:
    """bfloat16 numbers of both signs, 0.002 to 0.03: about what 1000 to 4000 inputs want."""
    high = bytes((0x3B, 0x3C, 0xBB, 0xBC)[value & 3] for value in range(256))
    block = bytearray(BLOCK)
    block[0::2] = os.urandom(BLOCK // 2)
    block[1::2] = os.urandom(BLOCK // 2).translate(high)
    return bytes(block)


def tensors(shape):
    """Names and extents in the order of the layers."""
    hidden, inner = shape["hidden"], shape["inner"]
    keys = hidden // shape["heads"] * shape["kv"]
    yield "model.embed_tokens.weight", [shape["vocabulary"], hidden]
    for layer in range(shape["layers"]):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", [hidden]
        yield prefix + "post_attention_layernorm.weight", [hidden]
        for name, rows in (("q", hidden), ("k", keys), ("v", keys)):
            yield prefix + f"self_attn.{name}_proj.weight", [rows, hidden]
            yield prefix + f"self_attn.{name}_proj.bias", [rows]
        yield prefix + "self_attn.o_proj.weight", [hidden, hidden]
        yield prefix + "mlp.gate_proj.weight", [inner, hidden]
        yield prefix + "mlp.up_proj.weight", [inner, hidden]
        yield prefix + "mlp.down_proj.weight", [hidden, inner]
    yield "model.norm.weight", [hidden]
    if not shape["tied"]:
        yield "lm_head.weight", [shape["vocabulary"], hidden]


def byte_count(extents) -> int:
    count = 2
    for extent in extents:
        count *= extent
    return count


def write_shard(path, members, block) -> None:
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, extents in members:
        header[name] = {"dtype": "BF16", "shape": extents, "data_offsets": [end, end + byte_count(extents)]}
        end += byte_count(extents)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        start = 0
        for name, extents in members:
            left = byte_count(extents)
            if name.endswith("norm.weight"):
                file.write(b"\x80\x3f" * (left // 2))  # ones
                continue
            while left > 0:
                piece = min(left, BLOCK - start)
                file.write(memoryview(block)[start:start + piece])
                # An odd step, so that no two matrices begin alike.
                start = (start + piece + 2 * 7919) % (BLOCK // 2) if piece == left else 0
                left -= piece


def write_texts(folder, shape, tokenizer) -> None:
    configuration = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
        "hidden_size": shape["hidden"], "intermediate_size": shape["inner"],
        "num_hidden_layers": shape["layers"], "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv"], "max_position_embeddings": 32768, "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0, "tie_word_embeddings": shape["tied"], "torch_dtype": "bfloat16",
        "use_sliding_window": False, "vocab_size": shape["vocabulary"], "eos_token_id": 151645,
    }
    (folder / "config.json").write_text(json.dumps(configuration, indent=2))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [151645, 151643]}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    shutil.copyfile(tokenizer, folder / "tokenizer.json")


def main() -> None:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser = argparse.ArgumentParser(description="Writes a folder of random weights in the shape of a real model.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, default=pathlib.Path(cache, "lmcall/tokenizers/qwen.json"))
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    members = list(tensors(shape))
    needed = sum(byte_count(extents) for _, extents in members)
    arguments.folder.mkdir(parents=True)
    if shutil.disk_usage(arguments.folder).free < needed * 1.1:
        sys.exit(f"{arguments.folder}: less than {needed / 1e9:.1f} GB are free")
    shards, size = [[]], 0
    for member in members:
        if shards[-1] and size + byte_count(member[1]) > SHARD:
            shards.append([])
            size = 0
        shards[-1].append(member)
        size += byte_count(member[1])
    block, places = random_block(), {}
    for number, shard in enumerate(shards, 1):
        name = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_shard(arguments.folder / name, shard, block)
        places.update({tensor: name for tensor, _ in shard})
    if len(shards) > 1:
        index = {"metadata": {"total_size": needed}, "weight_map": places}
        (arguments.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    write_texts(arguments.folder, shape, arguments.tokenizer)
    print(f"{arguments.folder}: {len(members)} tensors, {needed / 1e9:.2f} GB, {len(shards)} files")


if __name__ == "__main__":
    main()
