"""Writes tokenizers.json: small tokenizers of every kind the model families use, and what the reference makes of texts.

    python make_tokenizers.py

Made with tokenizers 0.23.3. Each entry holds a whole tokenizer.json, ids of texts with special tokens in them taken for
text ("plain") and recognised ("special"), and the texts that the plain ids decode to where that is not the text itself.
"""

import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre

from texts import ATOMS, lines

HERE = os.path.dirname(os.path.abspath(__file__))

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)
DEEPSEEK3 = [
    r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
]
DEEPSEEK2 = [
    # The long class of letters is shortened.
    "[\r\n]", "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u0370-\u0373\u03a3-\u03f5\u03f7-\u0481\u1e00-\u1f15\ufb00-\ufb06\U00010400-\U0001044f]+",
    "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
]


def split(pattern, behavior="isolated", invert=False):
    return pre.Split(Regex(pattern), behavior, invert)


def byte_level(*steps, **options):
    return pre.Sequence([*steps, pre.ByteLevel(add_prefix_space=False, use_regex=False, **options)])


CHAT = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]


def train(pre_tokenizer, decoder, normalizer=None, special=CHAT, size=420, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    alphabet = pre.ByteLevel.alphabet() if isinstance(decoder, decoders.ByteLevel) else []
    trainer = trainers.BpeTrainer(
        vocab_size=size, show_progress=False, special_tokens=special, initial_alphabet=sorted(alphabet),
        limit_alphabet=256 if alphabet else 200, max_token_length=12)
    tokenizer.train_from_iterator(lines(), trainer)
    return tokenizer


SENTENCEPIECE = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]


def sentencepiece(pre_tokenizer, normalizer, decoder, **model):
    """Llama 2's kind. Byte tokens are in the vocabulary, and are not added tokens."""
    tokenizer = train(
        pre_tokenizer, decoder, normalizer, SENTENCEPIECE, 680, unk_token="<unk>", fuse_unk=True, byte_fallback=True, **model)
    return edit(tokenizer, lambda j: j.update(
        added_tokens=[token for token in j["added_tokens"] if not token["content"].startswith("<0x")]))


def edit(tokenizer, change):
    content = json.loads(tokenizer.to_str())
    change(content)
    return Tokenizer.from_str(json.dumps(content))


def llama_decoder():
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def gemma_decoder():
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])


def template(token, number):
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, number)])


def flagged(tokenizer):
    """Added tokens of every flag."""
    tokenizer.add_tokens([
        AddedToken("<plain>", normalized=False), AddedToken("<normal>", normalized=True),
        AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("<both>", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False),
        AddedToken("<pla", normalized=False), AddedToken("e\u0301x\u4e16", normalized=True),
    ])
    tokenizer.add_special_tokens([
        AddedToken("<|left|>", lstrip=True, special=True, normalized=False),
        AddedToken("<|right|>", rstrip=True, special=True, normalized=False),
        AddedToken("<|norm|>", special=True, normalized=True),
    ])
    return tokenizer


def kinds():
    bytes_ = decoders.ByteLevel
    yield "gpt2", train(pre.ByteLevel(add_prefix_space=False), bytes_())
    yield "gpt2-prefix", train(pre.ByteLevel(add_prefix_space=True), bytes_())
    yield "smollm2", train(
        pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)]), bytes_())
    yield "qwen2", train(byte_level(split(QWEN2)), bytes_(), normalizers.NFC())
    llama3 = train(byte_level(split(LLAMA3)), bytes_(), special=["<|begin_of_text|>", "<|eot_id|>"], ignore_merges=True)
    llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template("<|begin_of_text|>", 0)])
    yield "llama3", llama3
    yield "tekken", train(byte_level(split(TEKKEN)), bytes_())
    yield "o200k", train(byte_level(split(O200K)), bytes_())
    yield "cl100k", train(byte_level(split(CL100K)), bytes_())
    yield "deepseek3", train(
        byte_level(*map(split, DEEPSEEK3)), bytes_(), normalizers.Sequence([]), special=["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"])
    yield "deepseek2", train(byte_level(*map(split, DEEPSEEK2), pre.Digits(individual_digits=True)), bytes_())
    yield "flags", flagged(train(byte_level(split(QWEN2)), bytes_(), normalizers.NFC()))
    lower = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.Strip(), normalizers.Replace(Regex(r"\s+"), " ")])
    yield "normalizers", edit(
        train(byte_level(split(GPT2, "removed", True), pre.Punctuation("contiguous")), bytes_(), lower),
        lambda j: [t.update(normalized=False) for t in j["added_tokens"]])
    yield "whitespace", train(byte_level(pre.WhitespaceSplit(), pre.Digits(individual_digits=False)), bytes_())
    yield "words", train(byte_level(pre.Whitespace(), pre.Punctuation("merged_with_previous")), bytes_())
    yield "look-ahead", train(
        byte_level(split(r"(?=(\d{3})+(?!\d))"), split(r"\p{L}+?(?=[aeiou])|[^\P{Lu}]{2,}|\x{4F60}", "merged_with_next")), bytes_())
    yield "missing-bytes", edit(
        train(byte_level(split(QWEN2)), bytes_(), special=["<unk>"], unk_token="<unk>", fuse_unk=True), remove_bytes)

    llama = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    llama2 = sentencepiece(None, llama, llama_decoder())
    llama2.post_processor = template("<s>", 1)
    yield "llama2", llama2
    yield "llama2-normalized", edit(llama2, lambda j: [t.update(normalized=True) for t in j["added_tokens"]])
    yield "mistral", sentencepiece(pre.Metaspace("▁", "first", split=False), None, llama_decoder())
    yield "metaspace", sentencepiece(pre.Metaspace("▁", "always", split=True), None,
        decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace("▁", "always", True)]))
    gemma = sentencepiece(pre.Split(" ", "merged_with_previous"), normalizers.Replace(" ", "▁"), gemma_decoder())
    gemma.post_processor = template("<s>", 1)
    gemma.add_tokens([AddedToken(text, normalized=False) for text in ["\n\n", "▁▁", "▁▁▁", "<unused0>"]])
    yield "gemma", gemma
    yield "no-fallback", edit(llama2, remove_fallback)


def remove_bytes(content):
    """Takes some bytes out of the vocabulary, with all that is made of them."""
    model = content["model"]
    gone = set("ðŁĮÍģa")
    keep = [t for t in sorted(model["vocab"], key=model["vocab"].get) if t == "<unk>" or not gone & set(t)]
    model["vocab"] = {token: number for number, token in enumerate(keep)}
    model["merges"] = [merge for merge in model["merges"] if not gone & set("".join(merge))]


def remove_fallback(content):
    model = content["model"]
    model["byte_fallback"] = False
    model["fuse_unk"] = False


def texts():
    """A selection of the lines, and lines with the tokens in them."""
    random.seed(4)
    tokens = CHAT + [
        "<s>", "</s>", "<unk>", "<plain>", "<normal>", "<left>", "<right>", "<both>", "word", "<|left|>", "<|right|>", "<|norm|>",
        "<0x41>", "▁", "▁▁", "\n\n", "\n\n\n", "<pla", "<plai", "<unused0>", "<|begin_of_text|>", "e\u0301x\u4e16", "\u00e9x\u4e16",
        "<｜begin▁of▁sentence｜>", "swords", " word ", "sword", "words", "1234567", "Ab ", "HELLO", "  ",
    ]
    mixed = ["".join(random.choices(ATOMS + tokens * 2, k=random.randint(1, 9))) for _ in range(60)]
    return lines()[:75] + lines()[84:110] + mixed


def entry(name, tokenizer, all_texts):
    content = json.loads(tokenizer.to_str())
    if len(name) % 2:  # the older spelling of merges, for some
        content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    special = [tokenizer.encode(text, add_special_tokens=False).ids for text in all_texts]
    tokenizer.encode_special_tokens = True
    plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in all_texts]
    decoded = [tokenizer.decode(ids, skip_special_tokens=True) for ids in plain]
    begin = tokenizer.encode("", add_special_tokens=True).ids
    return {
        "name": name, "tokenizer": json.dumps(content, ensure_ascii=False, separators=(",", ":")), "begin": begin,
        "plain": plain, "special": {i: s for i, (s, p) in enumerate(zip(special, plain)) if s != p},
        "decoded": {i: d for i, (d, t) in enumerate(zip(decoded, all_texts)) if d != t},
    }


def main():
    all_texts = texts()
    result = {"texts": all_texts, "tokenizers": [entry(name, t, all_texts) for name, t in kinds()]}
    with open(os.path.join(HERE, "tokenizers.json"), "w") as file:
        json.dump(result, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
