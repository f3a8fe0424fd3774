"""The tables of docs/protocol.md once more, and an encoder that follows them. It shares nothing with any implementation, so
that no encoder checks itself.
"""

import struct

# Frames: type, who may send them, fixed part, fields.

U32_MAX = 2**32 - 1
TYPES = {
    "HELLO": 0x81, "PING": 0x82, "PONG": 0x83, "GOAWAY": 0x84, "MAX_STREAMS": 0x86, "GENERATE": 0x90, "CALL": 0x91,
    "CREDIT": 0x92, "CANCEL": 0x93, "RESUME": 0x94, "ACCEPT": 0xA0, "TOKENS": 0xA1, "PROGRESS": 0x22, "FINISH": 0xA2,
    "ERROR": 0xA3, "REPLY": 0xA4,
}
FROM_CLIENT = {"GENERATE", "CALL", "CREDIT", "CANCEL", "RESUME"}
FROM_SERVER = {"GOAWAY", "MAX_STREAMS", "ACCEPT", "TOKENS", "PROGRESS", "FINISH", "REPLY"}
ON_CONNECTION = {"HELLO", "PING", "PONG", "GOAWAY", "MAX_STREAMS"}
CODES = {
    "PROTOCOL": 1, "FRAME_TOO_LARGE": 2, "VERSION": 3, "UNAUTHENTICATED": 4, "FORBIDDEN": 5, "INVALID": 6,
    "TOO_LARGE": 7, "NOT_FOUND": 8, "RATE_LIMITED": 9, "OVERLOADED": 10, "QUEUE_TIMEOUT": 11, "DEADLINE": 12,
    "CANCELLED": 13, "SLOW_CONSUMER": 14, "DRAINING": 15, "MODEL_OUTPUT": 16, "ENGINE": 17, "DEVICE": 18,
    "INTERNAL": 19, "SUPERSEDED": 20,
}
METHODS = {"health": 1, "models": 2, "tokenize": 3, "detokenize": 4, "statistics": 5, "embed": 6}

# The fixed part of a payload: name, form, default.
FIXED = {
    "HELLO": [("lowest", "B", 1), ("highest", "B", 1), ("", "H", 0), ("max_payload", "I", None), ("capabilities", "Q", 0)],
    "PING": [("data", "8s", None)],
    "PONG": [("data", "8s", None)],
    "GOAWAY": [("last_stream", "I", None), ("grace", "I", 0), ("reason", "I", 0)],
    "MAX_STREAMS": [("highest_stream", "I", None)],
    "GENERATE": [("credit", "I", 0), ("timeout", "I", 0), ("priority", "B", 3), ("flags", "B", 0), ("", "H", 0)],
    "CALL": [("method", "H", None), ("", "H", 0)],
    "CREDIT": [("limit", "I", None), ("consumed", "I", 0)],
    "CANCEL": [("reason", "I", 1)],
    "RESUME": [("resume_token", "16s", None), ("index", "I", 0), ("credit", "I", 0)],
    "ACCEPT": [("index", "I", 0)],
    "PROGRESS": [("phase", "B", 1), ("", "3s", "000000"), ("done", "I", 0), ("total", "I", 0)],
    "FINISH": [("reason", "B", 1), ("", "3s", "000000"), ("tokens", "I", 0), ("crc32c", "I", 0)],
    "ERROR": [("code", "H", None), ("flags", "B", 0), ("", "B", 0), ("retry_after", "I", 0)],
    "REPLY": [],
}
USAGE = {
    "prompt_tokens": (16, "I"), "cached_tokens": (17, "I"), "generated_tokens": (18, "I"), "recomputed": (19, "I"),
    "queue_time": (20, "Q"), "prefill_time": (21, "Q"), "decode_time": (22, "Q"),
}
MODEL = {
    "name": (1, "text"), "architecture": (2, "text"), "format": (3, "text"), "device": (4, "text"),
    "context_length": (5, "I"), "vocabulary_size": (6, "I"), "parameters": (7, "Q"), "cache_tokens": (8, "Q"),
}
PROMPT = {
    "prompt": (2, "text"), "prompt_ids": (3, "ids"), "messages": (0x4004, "message"), "tools": (0x8005, "text"),
    "template_arguments": (0x8006, "text"), "members": (0xC007, "members"),
}
FIELDS = {
    "HELLO": {
        "key": (1, "text"), "agent": (2, "text"), "keep_alive": (3, "I"), "resume_grace": (4, "I"),
        "cancel_budget": (5, "budget"), "control_budget": (6, "budget"), "glitch_budget": (7, "budget"),
    },
    "GENERATE": {
        **PROMPT, "model": (1, "text"), "temperature": (16, "f"), "top_p": (17, "f"), "top_k": (18, "I"),
        "min_p": (19, "f"), "repetition_penalty": (20, "f"), "presence_penalty": (21, "f"),
        "frequency_penalty": (22, "f"), "seed": (23, "Q"), "logprobs": (24, "B"), "max_tokens": (32, "I"),
        "min_tokens": (33, "I"), "stop_tokens": (34, "ids"), "first_token_timeout": (36, "I"),
        "token_gap_timeout": (37, "I"), "idempotency_key": (40, "16s"), "stop": (0x4023, "text"),
    },
    "CALL": {
        **PROMPT, "model": (1, "text"), "ids": (3, "ids"), "pooling": (16, "B"), "normalize": (17, "B"),
        "timeout": (18, "I"),
    },
    "RESUME": {},
    "ACCEPT": {"request_id": (1, "text"), "model": (2, "text"), "seed": (3, "Q"), "resume_token": (4, "16s")},
    "FINISH": {**USAGE, "seed": (23, "Q")},
    "ERROR": {"message": (1, "text"), **USAGE},
    "health": {"status": (1, "B"), "version": (2, "text"), "uptime": (3, "Q")},
    "models": {"models": (0x4005, "model")},
    "tokenize": {"ids": (3, "ids")},
    "detokenize": {"text": (2, "text")},
    "statistics": {"statistics": (0x4006, "statistic")},
    "embed": {"embedding": (7, "floats"), "prompt_tokens": (16, "I")},
}  # fmt: skip


def value(form, meaning):
    """The bytes of one value."""
    if form == "text":
        return meaning.encode()
    if form == "ids":
        return struct.pack(f"<{len(meaning)}i", *meaning)
    if form == "floats":
        return struct.pack(f"<{len(meaning)}f", *meaning)
    if form == "budget":
        return struct.pack("<II", *meaning)
    if form == "message":
        role = meaning["role"].encode()
        return bytes([len(role)]) + role + meaning["content"].encode()
    if form == "members":
        index, text = meaning
        return struct.pack("<H", index) + text.encode()
    if form == "model":
        return fields(MODEL, meaning)
    if form == "statistic":
        return struct.pack("<Q", int(meaning["value"])) + meaning["name"].encode()
    if form.endswith("s"):
        data = bytes.fromhex(meaning)
        assert len(data) == int(form[:-1]), (form, meaning)
        return data
    return struct.pack("<" + form, int(meaning) if form == "Q" else meaning)


def field(key, data):
    return struct.pack("<HI", key, len(data)) + data


def fields(table, meaning):
    """The fields that `meaning` names, in the order of their keys."""
    members = [(index, one["members"]) for index, one in enumerate(meaning.get("messages", [])) if "members" in one]
    if members:
        meaning = {"members": members, **meaning}
    named = sorted((table[name][0], table[name][1], of) for name, of in meaning.items() if name in table)
    result = b""
    for key, form, of in named:
        for one in of if key & 0x4000 else [of]:
            result += field(key, value(form, one))
    return result


def tokens(meaning, wide=None):
    """The payload of TOKENS."""
    entries = [token.get("entries") for token in meaning["tokens"]]
    texts = [token["text"].encode() for token in meaning["tokens"]]
    has_entries = any(one is not None for one in entries)
    if wide is None:
        wide = any(len(text) > 255 for text in texts[:-1])
    result = struct.pack("<HBB", meaning["first"] & 0xFFFF, len(texts), has_entries | wide << 1)
    result += b"".join(struct.pack("<i", token["id"]) for token in meaning["tokens"])
    result += b"".join(struct.pack("<H" if wide else "<B", len(text)) for text in texts[:-1])
    if has_entries:
        result += bytes(len(one or []) for one in entries)
        result += b"".join(struct.pack("<if", *entry) for one in entries for entry in one or [])
    return result + b"".join(texts)


def payload(meaning):
    """The payload of a frame that means this."""
    frame = meaning["frame"]
    if frame == "TOKENS":
        return tokens(meaning)
    result = b""
    for name, form, default in FIXED[frame]:
        of = meaning.get(name, default)
        if name == "code":
            of = CODES.get(of, of)
        if name == "method":
            of = METHODS.get(of, of)
        result += value(form, of)
    table = FIELDS.get(meaning["method"] if frame == "REPLY" else frame, {})
    known = {"frame", "stream", "method"} | {name for name, _, _ in FIXED[frame]} | set(table)
    assert set(meaning) <= known, set(meaning) - known
    return result + fields(table, meaning)


def framed(kind, stream, data, length=None):
    """A frame with any header."""
    word = (len(data) if length is None else length) | kind << 24
    return struct.pack("<II", word, stream) + data


def encode(meaning):
    return framed(TYPES[meaning["frame"]], meaning["stream"], payload(meaning))


def crc32c(data):
    """Bit by bit, as the definition says."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF
