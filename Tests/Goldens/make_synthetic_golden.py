#!/usr/bin/env python3
"""Writes synthetic.json: logits of small random models by the reference implementation (transformers, float32).

The weights are a function of tensor name and element index, written down here and in SyntheticCheckpoint.swift, so no
weight file is kept. Needs: pip install torch transformers. Run:  make_synthetic_golden.py > synthetic.json
"""
import json
import math
import sys

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

PROMPT = [3, 17, 42, 5, 88, 61, 17, 2, 9, 30, 71]
GENERATED = 24


def uniform(name, count):
    """Elements in [-1, 1): the finalizer of MurmurHash3 over FNV-1a(name) + index * golden ratio, all modulo 2^32."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    x = (seed + np.arange(count, dtype=np.uint64) * 0x9E3779B9) & 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 0x85EBCA6B) & 0xFFFFFFFF
    x ^= x >> 13
    x = (x * 0xC2B2AE35) & 0xFFFFFFFF
    x ^= x >> 16
    return (x.astype(np.float64) / 2**31 - 1).astype(np.float32)


def matrix(name, rows, columns):
    return torch.from_numpy(uniform(name, rows * columns).reshape(rows, columns) * np.float32(2 / math.sqrt(columns)))


def norm(name, count):
    return torch.from_numpy(1 + uniform(name, count) * np.float32(0.25))


def bias(name, count):
    return torch.from_numpy(uniform(name, count) * np.float32(0.5))


def halves_from_interleaved(w, heads):
    """Rows of an interleaved rotary layout (GGUF's Llama) in the order of the halves layout (transformers)."""
    rows, columns = w.shape
    return w.reshape(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def build(case):
    common = dict(vocab_size=case["vocabulary"], hidden_size=case["embedding"], intermediate_size=case["feed_forward"],
                  num_hidden_layers=case["layers"], num_attention_heads=case["heads"],
                  num_key_value_heads=case["key_value_heads"], rms_norm_eps=1e-5, max_position_embeddings=256,
                  tie_word_embeddings=case["tied"], head_dim=case["head"])
    rope = {"rope_type": "default", "rope_theta": case["rotary_base"]}
    if "llama3" in case:
        rope = {"rope_type": "llama3", "rope_theta": case["rotary_base"], **case["llama3"]}
    if "linear" in case:
        rope = {"rope_type": "linear", "rope_theta": case["rotary_base"], "factor": case["linear"]}
    qwen = case["family"] == "qwen2"
    config = (Qwen2Config if qwen else LlamaConfig)(rope_parameters=rope, **common)
    model = (Qwen2ForCausalLM if qwen else LlamaForCausalLM)(config).float().eval()
    width, head = case["embedding"], case["head"]
    queries, keys = case["heads"] * head, case["key_value_heads"] * head
    state = {"model.embed_tokens.weight": matrix("embedding", case["vocabulary"], width),
             "model.norm.weight": norm("output_norm", width)}
    if not case["tied"]:
        state["lm_head.weight"] = matrix("output", case["vocabulary"], width)
    for i in range(case["layers"]):
        hf, ours = f"model.layers.{i}.", f"layer.{i}."
        q, k = matrix(ours + "query", queries, width), matrix(ours + "key", keys, width)
        if not qwen:
            q, k = halves_from_interleaved(q, case["heads"]), halves_from_interleaved(k, case["key_value_heads"])
        state |= {hf + "input_layernorm.weight": norm(ours + "attentionNorm", width),
                  hf + "self_attn.q_proj.weight": q, hf + "self_attn.k_proj.weight": k,
                  hf + "self_attn.v_proj.weight": matrix(ours + "value", keys, width),
                  hf + "self_attn.o_proj.weight": matrix(ours + "attentionOutput", width, queries),
                  hf + "post_attention_layernorm.weight": norm(ours + "feedForwardNorm", width),
                  hf + "mlp.gate_proj.weight": matrix(ours + "gate", case["feed_forward"], width),
                  hf + "mlp.up_proj.weight": matrix(ours + "up", case["feed_forward"], width),
                  hf + "mlp.down_proj.weight": matrix(ours + "down", width, case["feed_forward"])}
        if qwen:
            state |= {hf + "self_attn.q_proj.bias": bias(ours + "queryBias", queries),
                      hf + "self_attn.k_proj.bias": bias(ours + "keyBias", keys),
                      hf + "self_attn.v_proj.bias": bias(ours + "valueBias", keys)}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name == "lm_head.weight" for name in missing), (missing, unexpected)
    model.tie_weights()
    return model


CASES = [
    dict(name="llama, grouped heads, tied", family="llama", vocabulary=96, embedding=64, feed_forward=96, layers=2,
         heads=4, key_value_heads=2, head=16, tied=True, rotary_base=10000.0),
    dict(name="llama, three heads on one, untied, odd widths", family="llama", vocabulary=101, embedding=96,
         feed_forward=160, layers=3, heads=3, key_value_heads=1, head=32, tied=False, rotary_base=100000.0),
    dict(name="llama 3 rotary scaling", family="llama", vocabulary=96, embedding=64, feed_forward=128, layers=2,
         heads=2, key_value_heads=2, head=32, tied=True, rotary_base=500000.0,
         llama3=dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)),
    dict(name="llama, linear rotary scaling", family="llama", vocabulary=96, embedding=64, feed_forward=64, layers=2,
         heads=4, key_value_heads=4, head=16, tied=True, rotary_base=10000.0, linear=4.0),
    dict(name="qwen2, grouped heads, tied", family="qwen2", vocabulary=96, embedding=64, feed_forward=96, layers=2,
         heads=4, key_value_heads=2, head=16, tied=True, rotary_base=1000000.0),
    dict(name="qwen2, seven heads on one, untied", family="qwen2", vocabulary=96, embedding=224, feed_forward=320,
         layers=2, heads=7, key_value_heads=1, head=32, tied=False, rotary_base=1000000.0),
]


def main():
    for case in CASES:
        model = build(case)
        ids = list(PROMPT)
        with torch.no_grad():
            case["prompt"] = PROMPT
            case["logits"] = [round(v, 6) for v in model(torch.tensor([ids])).logits[0, -1].tolist()]
            case["greedy"] = []
            for _ in range(GENERATED):
                token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
                case["greedy"].append(token)
                ids.append(token)
        if "llama3" in case:
            frequencies = model.model.rotary_emb.inv_freq.double().numpy()
            plain = case["rotary_base"] ** -(np.arange(0, case["head"], 2) / case["head"])
            case["rotary_divisors"] = [round(float(v), 6) for v in plain / frequencies]
    json.dump(CASES, sys.stdout)
    print()


if __name__ == "__main__":
    main()
