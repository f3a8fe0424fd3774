"""Lines that exercise tokenizers: real scripts and code, and every mix of characters that patterns tell apart."""

import random

REAL = [
    "Hello, world!", "The quick brown fox jumps over the lazy dog.", "It's what they'd said: I'll, you've, we're, he'd, I'm.",
    "IT'S WHAT THEY'D SAID: I'LL, YOU'VE, WE'RE, HE'D, I'M.", "don''t 'tis 'twas ''s's'S 'sT 'Re 'vE 'lL 'l 'r 'v",
    "'\u017f'\u017fa \u212aelvin 'M'm", "   leading", "trailing   ", " ", "  ", "\t", "\n", "\r\n", "\n\n\n", " \n \n ", "a\n\n b",
    "a  b   c    d", "tab\tseparated\t\tvalues\n", "line one\r\nline two\r\n\r\nline four", "x = 1\n\ty = 2\n        z = 3\n",
    "1234567890", "3.14159 1,000,000 0x1F 1e-9", "in 2024, 12 of 365 days", "a1b22c333d4444", "½ ⅓ Ⅷ ² ① 一二三 ٣٤٥ १२३ 𝟘𝟙",
    "def f(x: int) -> int:\n    return x ** 2  # square\n", "for (int i = 0; i < n; ++i) { sum += a[i]; }",
    "SELECT * FROM t WHERE a='b' AND c<>\"d\";", "<html><body>&amp;</body></html>", "{\"key\": [1, 2.5, null, true]}",
    "https://example.org/path?q=1&r=%20#frag", "user@example.org", "C:\\Program Files\\x", "\\frac{a}{b} $x_i^2$",
    "你好，世界！今天天气很好。", "日本語のテキスト、カタカナとひらがな。", "한국어 문장입니다. 각각", "Привет, мир! Ёлка", "Γειά σου Κόσμε",
    "مرحبا بالعالم ١٢٣", "שלום עולם", "नमस्ते दुनिया क्षत्रिय", "สวัสดีชาวโลก", "Xin chào thế giới", "İstanbul ıI ß ẞ ﬁ ﬀ ﬆ 'ﬆ",
    "👋🌍 emoji", "👨‍👩‍👧‍👦 family", "🏳️‍🌈🇨🇭👍🏽", "e\u0301 cafe\u0301 café n\u0303", "Z\u0351\u036b\u0343\u036a\u0302a\u0300\u0315l\u0321g\u0334o",
    "\u1112\u1161\u11ab \ud55c", "\u212b \u2126 \u0344 \u0958 \ufb1d", "\u00a0nbsp\u00a0\u2003em\u3000ideographic\u2028sep\u2029par\u0085nel",
    "zero\u200bwidth\u200djoin\ufefffeff\u2060", "\u0000\u0001\u001f\u007f\u0080\u009f", "\ufffd \uffff \U0010ffff \U000e0001 \U000f0000",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𓀀 𐍈", "$100 + €50 = £? ^~|` <=> ≠ ± × ÷", "…—–“”‘’«»", "!!! ??? ... --- === *** ###", "a.b,c;d:e!f?g", "(a)[b]{c}<d>",
    "# Title\n\n- item 1\n- item 2\n\n```swift\nlet x = 5\n```\n", "CamelCaseWords and snake_case_words and kebab-case-words",
    "a" * 300, " " * 300, "\n" * 100, "ab" * 200, "!" * 200, "1" * 100, "é" * 100, "的" * 100, "\u0301" * 100, " a" * 100, "a " * 100, "\t \n" * 50,
    "supercalifragilisticexpialidocious" * 4, "<|im_start|>user\nhi<|im_end|>\n", "<|endoftext|><repo_name><file_sep>x", "<|im_start|", "",
]

ATOMS = [
    "a", "B", "word", "The", "é", "e\u0301", "\u0301", "你", "好", "ß", "\u017f", "1", "42", "½", "٣", "𝟘", " ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0",
    "\u3000", "\u2028", "\u0085", "'", "'s", "'S", "'ll", "'LL", "'re", "'x", ".", ",", "!", "$", "+", "<", "^", "~", "_", "-", "—", "€", "©", "👍🏽", "\u200d",
    "🇨🇭", "\u200b", "\u0000", "\u007f", "\U0010ffff", "한", "\u1112\u1161", "\u0958",
]


def lines():
    """All lines: the real ones and 400 random mixes of atoms, the same on every run."""
    random.seed(20240607)
    mixed = ["".join(random.choices(ATOMS, k=random.randint(2, 24))) for _ in range(400)]
    return REAL + mixed
