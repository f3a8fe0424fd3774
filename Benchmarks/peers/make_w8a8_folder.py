"""make_w8a8_folder.py FOLDER OUT: a Hugging Face folder's matrices as 8-bit integers by output channel, rounded to nearest,
inputs quantized by token, in the format that vLLM reads (compressed-tensors, int-quantized). Needs torch and safetensors."""

import json
import pathlib
import shutil
import sys

import safetensors.torch
import torch


def main():
    source, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True)
    tensors = {}
    for file in sorted(source.glob("*.safetensors")):
        tensors.update(safetensors.torch.load_file(file))
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        weight = tensors[name].float()
        scale = (weight.abs().amax(1, keepdim=True) / 127).clamp(min=1e-12).to(torch.bfloat16)
        tensors[name] = (weight / scale.float()).round().clamp(-128, 127).to(torch.int8)
        tensors[name.replace(".weight", ".weight_scale")] = scale
    safetensors.torch.save_file(tensors, out / "model.safetensors", {"format": "pt"})
    configuration = json.loads((source / "config.json").read_text())
    integers = {"num_bits": 8, "type": "int", "symmetric": True}
    configuration["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": "int-quantized", "ignore": ["lm_head"],
        "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": {**integers, "strategy": "channel", "dynamic": False},
            "input_activations": {**integers, "strategy": "token", "dynamic": True},
        }},
    }
    (out / "config.json").write_text(json.dumps(configuration, indent=1))
    for file in source.glob("*.json"):
        if file.name != "config.json" and not file.name.endswith("index.json"):
            shutil.copy(file, out)


if __name__ == "__main__":
    main()
