#!/usr/bin/env python3
"""Writes the test vectors of this folder from the tables of docs/protocol.md. README.md says what they mean.

Run it after the specification changed, and read the difference; `--check` only compares.
"""

import json
import sys
from pathlib import Path

from conversations import Vector
from encoder import crc32c
from illegal import content, extensions, malformed, more_malformed, utf8, values
from legal import all_fields, greetings, handshake, resumption, stream_rules
from state_tables import client_states, server_states
from token_corners import tokens_corners


def checksums():
    """CRC-32C of texts."""
    for name, text in {
        "nothing": "", "the check value": "123456789", "one letter": "a", "a zero": "\0", "UTF-8": "Hello 你😀é",
        "32 zeros": "\0" * 32, "long": "The quick brown fox jumps over the lazy dog. " * 100,
    }.items():
        data = text.encode()
        yield {"name": name, "section": "2", "bytes": data.hex(), "crc32c": crc32c(data)}
    for name, data, expected in (
        ("RFC 3720, 32 bytes of ones", b"\xff" * 32, 0x62A8AB43),
        ("RFC 3720, 32 rising bytes", bytes(range(32)), 0x46DD794E),
        ("RFC 3720, 32 falling bytes", bytes(range(31, -1, -1)), 0x113FDB5C),
    ):
        assert crc32c(data) == expected
        yield {"name": name, "section": "2", "bytes": data.hex(), "crc32c": expected}


FILES = {
    "greeting": ("The handshake that every vector with `greeted` starts with, for each end.", greetings),
    "frames": ("Every frame in each direction, plain and with every field.", all_fields),
    "handshake": ("Preface and HELLO, and a whole conversation.", handshake),
    "states": ("Each state of a stream with each frame.", lambda: [*server_states(), *client_states()]),
    "streams": ("Numbers of streams, credit, cancellation, going away.", stream_rules),
    "tokens": ("The corners of TOKENS.", tokens_corners),
    "utf8": ("Text that is not UTF-8.", utf8),
    "resume": ("Resumption and idempotency.", resumption),
    "malformed": ("Frames that end the connection.", lambda: [*malformed(), *more_malformed()]),
    "extensions": ("What a version does not know.", extensions),
    "content": ("Requests that are well formed and wrong.", content),
    "values": ("Requests with a value out of its range, which may be the application's to judge.", values),
    "crc32c": ("Checksums.", checksums),
}


def main():
    here = Path(__file__).parent
    assert crc32c(b"123456789") == 0xE3069283
    for name, (description, make) in FILES.items():
        vectors = [vector.json if isinstance(vector, Vector) else vector for vector in make()]
        names = [vector["name"] for vector in vectors]
        assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
        lines = ",\n".join(json.dumps(vector, ensure_ascii=True) for vector in vectors)
        text = f'{{"description": {json.dumps(description)}, "vectors": [\n{lines}\n]}}\n'
        path = here / f"{name}.json"
        if "--check" in sys.argv:
            assert path.read_text() == text, f"{path.name} is not what this script writes"
        else:
            path.write_text(text)
        print(f"{len(vectors):5} {path.name}")


if __name__ == "__main__":
    main()
