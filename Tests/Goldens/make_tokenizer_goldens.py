"""Writes pretokenizers.json, tokenizer_small.json and tokenizer_smollm2.json.

    python make_tokenizer_goldens.py SmolLM2-135M-Instruct.Q4_1.gguf

Made with tokenizers 0.23.3 and transformers 5.23.0.
"""

import json
import os
import sys

from tokenizers import NormalizedString, PreTokenizedString, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import trainers

from texts import lines

HERE = os.path.dirname(os.path.abspath(__file__))

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA.replace("{1,3}", "")


def split(pattern):
    return pre.Split(Regex(pattern), "isolated")


# What the tokenizer.json files of the families hold; "default" is the four patterns of llama.cpp's llama-vocab.cpp.
PRETOKENIZERS = {
    "gpt-2": split(GPT2),
    "smollm": pre.Sequence([pre.Digits(individual_digits=True), split(GPT2)]),
    "llama-bpe": split(LLAMA),
    "qwen2": split(QWEN2),
    "default": pre.Sequence([split(r"[\p{P}\$\+<=>\^~\|]+"), split(GPT2), split(r"\p{N}+"), split(r"[0-9][0-9][0-9]")]),
}


def pieces(pretokenizer, text):
    """Lengths of the pieces in bytes of UTF-8."""
    string = PreTokenizedString(text)
    pretokenizer.pre_tokenize(string)
    splits = string.get_splits(offset_referential="original", offset_type="char")
    return [len(piece.encode()) for piece, _, _ in splits]


def small_tokenizer():
    """A vocabulary of 400 trained on the lines: small enough to commit, and without some of the single bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre.Sequence([split(QWEN2), pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False, special_tokens=["<|endoftext|>", "<|im_end|>"])
    tokenizer.train_from_iterator(lines(), trainer)
    return tokenizer


def write(name, value):
    with open(os.path.join(HERE, name), "w") as file:
        json.dump(value, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


def main():
    texts = lines()
    write("pretokenizers.json", {
        "texts": texts,
        "pieces": {name: [pieces(p, text) for text in texts] for name, p in PRETOKENIZERS.items()},
    })

    small = small_tokenizer()
    model = json.loads(small.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(merge) for merge in model["merges"]]
    write("tokenizer_small.json", {
        "tokens": tokens, "merges": merges, "pre": "qwen2", "texts": [], "ids": [small.encode(text).ids for text in texts],
    })

    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    path = sys.argv[1]
    smol = AutoTokenizer.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path)).backend_tokenizer
    # transformers forgets SmolLM2's Digits when it reads a GGUF file; the model's own tokenizer.json has it.
    smol.pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])
    special = [smol.encode(text, add_special_tokens=False).ids for text in texts]
    smol.encode_special_tokens = True
    plain = [smol.encode(text, add_special_tokens=False).ids for text in texts]
    write("tokenizer_smollm2.json", {"plain": plain, "special": special})


if __name__ == "__main__":
    main()
