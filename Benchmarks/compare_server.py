"""What our server costs where no peer is beside it: until it is ready, memory, the gap that a long prompt leaves in a running
stream, and a step's time outside of the back end. Started by Benchmarks/compare."""

import argparse
import contextlib
import itertools
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "clients/python"))
from lmcall import Client, LMError  # noqa: E402

ADDRESS = "127.0.0.1:8124"
# Every server that was started, once.
commands = {}


@contextlib.contextmanager
def serving(options, *arguments):
    """A server that answers: its process, what it said, and the seconds from its start to its first answer."""
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        command = [options.lmserve, "--listen", ADDRESS, *map(str, arguments)]
        commands.setdefault(shlex.join(command))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        process.stdout.readline()  # "listening on", or the end of the program
        log.seek(0)
        said = log.read()
    try:
        with Client(ADDRESS) as client:
            try:
                client.health()
            except LMError as error:
                sys.exit(f"error: no answer ({error}):\n{said}")
            yield client, process, said, time.monotonic() - begin
    finally:
        process.terminate()
        process.wait(30)


def ready(options, *arguments):
    """Median seconds from start to the first answer, everything in the page cache."""
    def once():
        with serving(options, *arguments) as (_, _, _, seconds):
            return seconds
    once()
    return statistics.median(once() for _ in range(options.rounds))


def ids(count, seed=1):
    return [100 + (index * 7919 + seed * 104_729) % 30_000 for index in range(count)]


def generate(client, prompt, count):
    """The moments of the tokens."""
    return [time.monotonic() for _ in client.generate(prompt, max_tokens=count, temperature=0, ignore_end=True)]


def memory(options, *arguments):
    """MiB that the process holds besides its weights and a KV pool that has been used whole."""
    pool = 64
    with serving(options, *arguments, "--kv-cache-memory", f"{pool}MiB") as (client, process, said, _):
        for seed in range(16):
            generate(client, ids(200, seed), 56)
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    weights = re.search(r"([\d.]+) (MiB|GiB) of weights", said)
    return resident - float(weights[1]) * (1024 if weights[2] == "GiB" else 1) - pool


def gap(options, *arguments):
    """The longest gap of a running stream while a prompt of 2,000 tokens arrives, in medians."""
    def once(client):
        moments = []
        begun = threading.Event()

        def read():
            for token in client.generate(ids(64), max_tokens=500, temperature=0, ignore_end=True):
                moments.append(time.monotonic())
                if token.index == 50:
                    begun.set()
        reader = threading.Thread(target=read)
        reader.start()
        begun.wait()
        with Client(ADDRESS) as other:
            generate(other, ids(2000, seed=next(seeds)), 2)
        reader.join()
        gaps = [b - a for a, b in itertools.pairwise(moments)]
        return max(gaps) / statistics.median(gaps)
    seeds = itertools.count(2)
    with serving(options, *arguments) as (client, _, _, _):
        generate(client, ids(32), 8)
        return statistics.median(once(client) for _ in range(options.rounds))


def overhead(options, *arguments):
    """Percent of the time with 32 running sequences that the back end had nothing to do."""
    with serving(options, *arguments) as (client, _, _, _):
        streams = [threading.Thread(target=generate, args=(client, ids(128, seed), 400)) for seed in range(32)]
        for stream in streams:
            stream.start()
        while client.statistics()["tokens_generated_total"] < 32 * 40:
            time.sleep(0.05)
        begin, first = time.monotonic(), client.statistics()
        while client.statistics()["tokens_generated_total"] < 32 * 340:
            time.sleep(0.05)
        seconds, last = time.monotonic() - begin, client.statistics()
        for stream in streams:
            stream.join()
    busy = (last["backend_time_total_nanoseconds"] - first["backend_time_total_nanoseconds"]) / 1e9
    return 100 * (1 - busy / seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lmserve", required=True)
    parser.add_argument("--gguf", required=True, help="SmolLM2, Q4_1")
    parser.add_argument("--folder", required=True, help="SmolLM2, 16 bits")
    parser.add_argument("--large", required=True, help="Qwen2.5-1.5B's shape, 16 bits")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    small, integers = ("--model", options.gguf), ("--model", options.folder, "--quantization", "w8a8")
    large = ("--model", options.large, "--quantization", "w8a8")
    rows = [
        ("ready, SmolLM2 Q4_1", lambda: 1e3 * ready(options, *small), "ms", 300),
        ("ready, SmolLM2 w8a8, kept result", lambda: 1e3 * ready(options, *integers), "ms", 300),
        ("ready, Qwen2.5-1.5B shape w8a8, kept result", lambda: 1e3 * ready(options, *large), "ms", 1000),
        ("memory over weights and KV, SmolLM2 Q4_1", lambda: memory(options, *small), "MiB", 64),
        ("memory over weights and KV, SmolLM2 w8a8", lambda: memory(options, *integers), "MiB", 64),
        ("longest gap while a prompt of 2,000 tokens arrives, SmolLM2 w8a8", lambda: gap(options, *integers), "medians", 4),
        ("step outside of the back end, 32 sequences, SmolLM2 w8a8", lambda: overhead(options, *integers), "%", 3),
    ]
    for title, measure, unit, target in rows:
        value = measure()
        print(f"{title:<66} {value:>8.1f} {unit:<8} target {target:>5}  {'met' if value <= target else 'NOT met'}", flush=True)
    print("\nServers, which this script asks itself:")
    for command in commands:
        print("  " + command)


if __name__ == "__main__":
    main()
