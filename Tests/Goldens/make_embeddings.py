"""Writes embeddings.json: what transformers' base models make of the prompts of families.json, pooled, in float32.

    pip install torch transformers safetensors; python make_embeddings.py > embeddings.json

`last_hidden_state` is the hidden state behind the final norm; per case its last row and the mean of all its rows. Cases
whose rotary frequencies depend on the length so far are left out: given at once, their prompt is another one.
"""

import base64
import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.numpy import save_file
from transformers import AutoModel

from make_families import CASES, checksum, elements

torch.set_num_threads(1)


def vector(tensor):
    return base64.b64encode(tensor.numpy().astype("<f4").tobytes()).decode()


def make(case):
    tensors = {
        name: elements(case["seed"], name, shape, case["family"].startswith("gemma"))
        for name, shape in case["tensors"].items()
    }
    assert checksum(tensors) == case["checksum"], case["name"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(case["config"])
        save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        states = model(torch.tensor([case["prompt"]]), use_cache=False).last_hidden_state[0]
    print(f"{case['name']}: {tuple(states.shape)}", file=sys.stderr)
    return dict(name=case["name"], last=vector(states[-1]), mean=vector(states.mean(0)))


def main():
    stepwise = {case["name"] for case in CASES if case.get("stepwise")}
    families = json.loads(Path(__file__).with_name("families.json").read_text())
    chosen = [case for case in families if case["name"] not in stepwise]
    print("[" + ",\n".join(json.dumps(make(case), separators=(",", ":")) for case in chosen) + "]")


if __name__ == "__main__":
    main()
