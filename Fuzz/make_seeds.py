#!/usr/bin/env python3
"""make_seeds.py FOLDER: writes the fuzzer's first inputs there, a folder a target, from Tests/Vectors.

A fuzzer finds its way from good inputs to bad ones far sooner than from nothing.
"""

import hashlib
import json
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parent.parent
# The order of Tests/FuzzProperties/Messages.swift.
kinds = [0x90, 0x91, 0x94, 0x92, 0xA0, 0xA1, 0x22, 0xA2, 0xA3, 0xA4]


def keep(target, data):
    folder = pathlib.Path(sys.argv[1]) / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def frames(data):
    while len(data) >= 8:
        end = 8 + int.from_bytes(data[:3], "little")
        yield data[:end]
        data = data[end:]


for file in sorted((root / "Tests" / "Vectors").glob("*.json")):
    for vector in json.loads(file.read_text())["vectors"]:
        if "steps" not in vector:
            continue
        received = b"".join(bytes.fromhex(step["in"]) for step in vector["steps"] if "in" in step)
        if len(received) > 4_000:
            continue
        if not vector["greeted"]:
            keep("handshake", received)
            continue
        keep("frames", b"\x80" + received)
        for frame in frames(received):
            if frame[3] in kinds:
                keep("messages", bytes([kinds.index(frame[3]), 0, 0, 0, 0]) + frame[8:])
            if len(frame) < 256:
                keep("server", bytes([7, 0, len(frame)]) + frame)
                keep("client", bytes([0, 0, 100, 15, 0, len(frame)]) + frame)

# A credential and an agent as long as they may be.
keep("handshake", b"\1" + b"k" * 1_024)
keep("handshake", b"\2" + b"a" * 256)

# A request from GENERATE to FINISH, a RESUME, and connections that end, as scripts for the two state machines.
keep("server", bytes([0, 1, 9, 8, 1, 0, 9, 1, 0, 2, 2, 1, 20, 2, 9, 1, 2, 1, 10, 1, 3, 1, 2, 1, 12, 2]))
keep("server", bytes([0, 1, 9, 8, 1, 0, 13, 0, 1, 0, 2, 9, 3, 1, 11, 1, 14, 0]))
keep("server", bytes([4, 1, 5, 9, 8, 1, 5, 9, 1, 5, 3, 2, 1, 40, 7, 10, 1, 8]))
keep("client", bytes([0, 0, 9, 8, 1, 0, 9, 1, 0, 2, 4, 1, 20, 2, 9, 1, 2, 1, 10, 1, 1, 3, 0, 2, 0, 12, 2]))
keep("client", bytes([0, 0, 9, 1, 0, 9, 8, 1, 0, 13, 0, 1, 11, 1, 1, 7, 7, 0]))
keep("client", bytes([3, 0, 5, 9, 8, 1, 5, 9, 1, 5, 3, 5, 1, 10, 1, 3, 8, 0]))
