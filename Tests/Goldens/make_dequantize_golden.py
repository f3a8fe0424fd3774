"""Writes dequantize.json: random blocks of every tensor type and what gguf 0.19.0 makes of them.

    python make_dequantize_golden.py
"""

import json
import os

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

# Where the half-precision scales of a block stand; random bits there would be infinities.
HALVES = {"F16": [0], "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def main():
    random = np.random.default_rng(7)
    golden = {}
    for name in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"]:
        kind = GGMLQuantizationType[name]
        length, size = GGML_QUANT_SIZES[kind]
        count = max(2, 32 // length)
        blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
        if name == "F32":
            blocks = random.standard_normal(count).astype(np.float32).view(np.uint8).reshape(count, 4)
        if name == "BF16":
            blocks[:, 1] = blocks[:, 1] % 0x40
        for offset in HALVES.get(name, []):
            scales = (random.standard_normal(count) / 16).astype(np.float16)
            scales[0] = np.float16(6e-7)  # a subnormal
            blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(count, 2)
        floats = blocks.view(np.float32) if name == "F32" else quants.dequantize(blocks, kind)
        bits = np.ascontiguousarray(floats, dtype=np.float32).view(np.uint32).reshape(-1)
        golden[name] = {"bytes": blocks.tobytes().hex(), "bits": bits.tolist()}
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "dequantize.json"), "w") as file:
        json.dump(golden, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
