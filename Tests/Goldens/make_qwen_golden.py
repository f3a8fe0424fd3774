"""Writes qwen.json: what the reference makes of 2,000 mixed lines with Qwen's vocabulary.

    python make_qwen_golden.py qwen.tiktoken

Made with tiktoken 0.14.0, and tokenizers 0.23.3 gives the same. The lines are not stored but drawn from the atoms, which
are UTF-16, as halves of surrogate pairs can be no other way; of each line's ids the number and a checksum are.
"""

import json
import os
import sys
import unicodedata

import tiktoken
from tokenizers import Tokenizer

from qwen_tokenizer import PATTERN, make, read_ranks
from texts import ATOMS, REAL

HERE = os.path.dirname(os.path.abspath(__file__))
COUNT = 2000
HALVES = ["\ud83d", "\udc4d", "\ud800", "\udfff"]
WORDS = [
    " the", " of", "The ", " and then", "人工智能", "的", "是什么？", "，", "。", "中华人民共和国", "機器學習", "カタカナ", "ひらがな", "한국어", "Привет",
    "مرحبا", "नमस्ते", "สวัสดี", "😀", "👩‍💻", "❤️", "🇨🇳", "1️⃣", "    ", "\t\t", "\n    ", "\r\n", " \u00a0 ", "\u3000\u3000", "a\u0300\u0301\u0302", "\u0301\u0301",
    "q\u0323\u0307", "def main():\n", "    return self.value\n", "if (x != 0) {\n\t", "};", "// TODO: ", "=> ", "&&", "0x7FFF", "3.14", "2024-01-31",
    "<|im_start|>", "<|endoftext|>", "don't", "I'LL", "naïve", "Å", "ﬁ", "Ω", "\u1e9b\u0323", "ก็", "\u200b", "\ufeff",
]


def units(text):
    data = text.encode("utf-16-le", "surrogatepass")
    return [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]


def draw(atoms):
    """The lines as UTF-16; Knuth's MMIX generator, its upper half."""
    state = 1
    def below(limit):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (state >> 33) % limit
    for _ in range(COUNT):
        yield [unit for _ in range(1 + below(14)) for unit in atoms[below(len(atoms))]]


def checksum(ids):
    """FNV-1a over the ids, 32 bits each."""
    value = 0xCBF29CE484222325
    for number in ids:
        for byte in number.to_bytes(4, "little"):
            value = ((value ^ byte) * 0x100000001B3) % (1 << 64)
    return value % (1 << 32)


def main():
    ranks = read_ranks(sys.argv[1])
    reference = tiktoken.Encoding("qwen", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    second = Tokenizer.from_str(json.dumps(make(ranks)))
    second.encode_special_tokens = True
    atoms = [units(text) for text in WORDS * 3 + HALVES * 2 + ATOMS * 2 + [text for text in REAL if 0 < len(text) < 80]]
    results = []
    for line in draw(atoms):
        data = b"".join(unit.to_bytes(2, "little") for unit in line)
        text = data.decode("utf-16-le", "replace")
        ids = reference.encode_ordinary(unicodedata.normalize("NFC", text))
        # Raw text with halves in it gives the same: the reference replaces them by itself.
        raw = data.decode("utf-16-le", "surrogatepass")
        assert reference.encode_ordinary(unicodedata.normalize("NFC", raw)) == ids
        assert second.encode(text, add_special_tokens=False).ids == ids, text
        results.append(f"{len(ids)} {checksum(ids):08x}")
    with open(os.path.join(HERE, "qwen.json"), "w") as file:
        json.dump({"atoms": atoms, "ids": results}, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
