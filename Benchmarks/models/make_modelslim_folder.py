#!/usr/bin/env python3
"""Quantizes a bfloat16 folder of one safetensors file as ModelSlim does (W8A8_DYNAMIC), to compare it with
`lmserve --quantization w8a8` on the same model. Needs numpy.

    make_modelslim_folder.py FOLDER OUTPUT

Every matrix named *proj.weight becomes round(w / scale) with scale = max|row| / 127; all else stays as it is.
"""

import json
import pathlib
import shutil
import struct
import sys

import numpy


def read(path):
    """Name, shape and float32 values of each tensor, in the order of the names."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        for name, entry in sorted(header.items()):
            if entry["dtype"] != "BF16":
                sys.exit(f"{path}: {name} is {entry['dtype']}; give a folder of BF16 tensors")
            begin, end = entry["data_offsets"]
            file.seek(8 + length + begin)
            bits = numpy.frombuffer(file.read(end - begin), dtype="<u2")
            yield name, entry["shape"], bits


def quantized(name, shape, bits):
    """What ModelSlim writes for a matrix, as (name, type, array)."""
    weight = (bits.astype(numpy.uint32) << 16).view(numpy.float32).reshape(shape)
    scale = numpy.abs(weight).max(axis=1, keepdims=True) / numpy.float32(127)
    safe = numpy.where(scale == 0, numpy.float32(1), scale)
    yield name, "I8", numpy.rint(weight / safe).astype(numpy.int8)
    yield name + "_scale", "F32", scale
    yield name + "_offset", "F32", numpy.zeros_like(scale)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, output = map(pathlib.Path, sys.argv[1:])
    output.mkdir(parents=True)
    for path in source.glob("*.json"):
        shutil.copy(path, output)

    entries, schemes = [], {"model_quant_type": "W8A8_DYNAMIC", "version": "1.0.0"}
    for name, shape, bits in read(source / "model.safetensors"):
        is_matrix = name.endswith("proj.weight")
        tensors = list(quantized(name, shape, bits)) if is_matrix else [(name, "BF16", bits.reshape(shape))]
        entries += tensors
        schemes.update((own, "W8A8_DYNAMIC" if is_matrix else "FLOAT") for own, _, _ in tensors)

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
