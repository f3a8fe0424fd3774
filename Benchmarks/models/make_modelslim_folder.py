#!/usr/bin/env python3
"""Quantizes a bfloat16 folder of one safetensors file as ModelSlim does (W8A8_DYNAMIC, outliers evened out), to compare it
with `lmserve --quantization w8a8` on the same model. Needs numpy.

    make_modelslim_folder.py FOLDER FACTORS OUTPUT

FACTORS is the file that lmserve kept of its result: of it the smoothing factors of every layer are read and nothing else.
What yields a channel is divided by the channel's factor, what multiplies it is multiplied; then every matrix named
*proj.weight becomes round(w / scale) with scale = max|row| / 127. All else stays as it is.
"""

import json
import pathlib
import re
import shutil
import struct
import sys

import numpy

# What a tensor of a layer multiplies by (columns) and is divided by (rows, or the elements of a vector).
SITES = {
    "input_layernorm": (None, "attention"),
    "self_attn.q_proj": ("attention", None),
    "self_attn.k_proj": ("attention", None),
    "self_attn.v_proj": ("attention", "attended"),
    "self_attn.o_proj": ("attended", None),
    "post_attention_layernorm": (None, "feedForward"),
    "mlp.gate_proj": ("feedForward", None),
    "mlp.up_proj": ("feedForward", "hidden"),
    "mlp.down_proj": ("hidden", None),
}


def tensors(path):
    """Name, type, shape and bytes of each tensor, in the order of the names."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        for name, entry in sorted(header.items()):
            begin, end = entry["data_offsets"]
            file.seek(8 + length + begin)
            yield name, entry["dtype"], entry["shape"], file.read(end - begin)


def read(path):
    """Name and float32 values of each tensor."""
    for name, kind, shape, data in tensors(path):
        if kind != "BF16":
            sys.exit(f"{path}: {name} is {kind}; give a folder of BF16 tensors")
        bits = numpy.frombuffer(data, dtype="<u2")
        yield name, (bits.astype(numpy.uint32) << 16).view(numpy.float32).reshape(shape)


def read_factors(path):
    """(layer, site) to float32 factors."""
    factors = {}
    for name, kind, _, data in tensors(path):
        match = re.fullmatch(r"layers\.(\d+)\.smoothing\.(\w+)", name)
        if match:
            factors[int(match[1]), match[2]] = numpy.frombuffer(data, dtype="<f4")
    return factors


def smoothed(name, values, factors, head_dimension):
    """The tensor with the factors of its layer put in, or None where there are none."""
    match = re.fullmatch(r"model\.layers\.(\d+)\.([\w.]+)\.(?:weight|bias)", name)
    columns, rows = SITES.get(match[2], (None, None)) if match else (None, None)
    if columns is None and rows is None:
        return None
    layer = int(match[1])
    if columns and values.ndim == 2:
        by = factors[layer, columns]
        if columns == "attended":  # one factor for all query heads that share a value
            group = values.shape[1] // by.size
            by = by.reshape(-1, 1, head_dimension).repeat(group, axis=1).reshape(-1)
        values = values * by
    if rows:
        by = factors[layer, rows]
        values = values / (by if values.ndim == 1 else by[:, None])
    return values


def quantized(name, weight):
    """What ModelSlim writes for a matrix, as (name, type, array)."""
    scale = numpy.abs(weight).max(axis=1, keepdims=True) / numpy.float32(127)
    safe = numpy.where(scale == 0, numpy.float32(1), scale)
    yield name, "I8", numpy.rint(weight / safe).astype(numpy.int8)
    yield name + "_scale", "F32", scale
    yield name + "_offset", "F32", numpy.zeros_like(scale)


def bfloat16(values):
    """The bits of values that bfloat16 holds exactly."""
    return (values.view(numpy.uint32) >> 16).astype("<u2")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, kept, output = map(pathlib.Path, sys.argv[1:])
    output.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*.json"):
        shutil.copy(path, output)
    configuration = json.loads((source / "config.json").read_text())
    heads = configuration["num_attention_heads"]
    head_dimension = configuration.get("head_dim") or configuration["hidden_size"] // heads
    factors = read_factors(kept)
    if not factors:
        sys.exit(f"{kept} holds no smoothing factors")

    entries, schemes = [], {"model_quant_type": "W8A8_DYNAMIC", "version": "1.0.0"}
    for name, values in read(source / "model.safetensors"):
        changed = smoothed(name, values, factors, head_dimension)
        if name.endswith("proj.weight"):
            new = list(quantized(name, changed))
        else:
            new = [(name, "BF16", bfloat16(values)) if changed is None else (name, "F32", changed)]
        entries += new
        schemes.update((own, "W8A8_DYNAMIC" if len(new) > 1 else "FLOAT") for own, _, _ in new)

    header, offset = {}, 0
    for name, kind, array in entries:
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(output / "quant_model_weight_w8a8_dynamic.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, array in entries:
            file.write(array.tobytes())
    (output / "quant_model_description.json").write_text(json.dumps(schemes, indent=1))


main()
