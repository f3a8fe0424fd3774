"""Turns Qwen's qwen.tiktoken into a tokenizer.json; needs nothing but Python.

    python qwen_tokenizer.py qwen.tiktoken tokenizer.json
"""

import base64
import json
import sys

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def alphabet():
    """GPT-2's character for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + i) for i, byte in enumerate(others)}


def read_ranks(path):
    with open(path) as file:
        return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in file)}


def last_merge(token, ranks):
    """The two parts that are joined last: what lower ranks make of the token."""
    parts = [token[i : i + 1] for i in range(len(token))]
    limit = ranks[token]
    while len(parts) > 2:
        found = [(ranks.get(a + b, limit), i) for i, (a, b) in enumerate(zip(parts, parts[1:]))]
        rank, i = min(found)
        if rank >= limit:
            raise ValueError(f"token {limit} is not made of two others")
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def make(ranks):
    """A tokenizer.json as Qwen2's, its added tokens aside."""
    letters = alphabet()
    spell = lambda token: "".join(letters[byte] for byte in token)
    tokens = sorted(ranks, key=ranks.get)
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": len(ranks) + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True} for i, content in enumerate(SPECIAL)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {spell(token): ranks[token] for token in tokens},
            "merges": [" ".join(map(spell, last_merge(token, ranks))) for token in tokens if len(token) > 1],
        },
    }


def main():
    source, target = sys.argv[1:]
    with open(target, "w", encoding="utf-8") as file:
        json.dump(make(read_ranks(source)), file, ensure_ascii=False)


if __name__ == "__main__":
    main()
