#!/usr/bin/env python3
"""Writes smollm2.json: what the reference implementation (transformers) makes of SmolLM2's GGUF file.

The weights are dequantized to float32 from the very file that the engine reads, so greedy tokens must be equal, token
for token. Needs: pip install torch transformers accelerate gguf. Run:

    make_smollm2_golden.py PATH/SmolLM2-135M-Instruct.Q4_1.gguf > smollm2.json
"""
import json
import os
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

GENERATED = 64
RAW = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Once upon a time, in a small village by the sea,",
    "Water boils at 100 degrees Celsius because",
    "1, 1, 2, 3, 5, 8,",
]
CHAT = [
    [{"role": "user", "content": "Name three primary colors."}],
    [{"role": "user", "content": "Write a haiku about the ocean."}],
    [{"role": "system", "content": "You answer in one sentence."}, {"role": "user", "content": "What is gravity?"}],
    [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello! How can I help?"},
     {"role": "user", "content": "Translate 'good morning' to French."}],
    [{"role": "user", "content": "List the numbers from 1 to 10, separated by commas."}],
]


def main(path):
    folder, file = os.path.split(os.path.abspath(path))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    model.eval()
    prompts = [{"text": text, "ids": tokenizer(text, add_special_tokens=False)["input_ids"]} for text in RAW]
    for messages in CHAT:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        prompts.append({"messages": messages, "rendered": text, "ids": ids})
    with torch.no_grad():
        for prompt in prompts:
            ids = list(prompt["ids"])
            past, margin = None, float("inf")
            feed = torch.tensor([ids])
            prompt["greedy"] = []
            for step in range(GENERATED):
                out = model(feed, past_key_values=past, use_cache=True)
                past, logits = out.past_key_values, out.logits[0, -1]
                top = torch.topk(logits, 5)
                if step == 0:
                    prompt["top5"] = top.indices.tolist()
                    prompt["top5_logits"] = [round(v, 4) for v in top.values.tolist()]
                margin = min(margin, (top.values[0] - top.values[1]).item())
                token = int(top.indices[0])
                prompt["greedy"].append(token)
                feed = torch.tensor([[token]])
            prompt["smallest_margin"] = round(margin, 5)
    json.dump({"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "prompts": prompts},
              sys.stdout, ensure_ascii=False)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
