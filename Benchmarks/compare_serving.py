"""Serves the same model by each engine in turn, loads it with 8, 16 and 32 clients of 128 tokens in and out, and prints rates
and latencies. Started by Benchmarks/compare."""

import argparse
import contextlib
import json
import os
import pathlib
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
PORT, LENGTH, TURNS = 8123, 128, 4
OURS = "lmcall w8a8"
# At least so many times the best peer's rate, by clients.
TARGETS = {"smollm2": {8: 2.0, 16: 2.0, 32: 2.0}, "qwen2.5-0.5b": {8: 2.0, 16: 1.8, 32: 1.6}}
# Every command that was run, once, in the order of their first turns.
commands = {}


def shown(command):
    command = [str(part) for part in command]
    commands.setdefault(shlex.join(command))
    return command


@contextlib.contextmanager
def serving(command, environment, log, is_ready):
    """A server that is ready; it ends with the block."""
    with open(log, "w") as file:
        process = subprocess.Popen(shown(command), env=dict(os.environ, **environment), stdout=file, stderr=file,
                                   start_new_session=True)
    try:
        for _ in range(600):
            if process.poll() is not None:
                sys.exit(f"error: {command[0]} ended with {process.returncode}; its log is {log}")
            if is_ready():
                break
            time.sleep(0.5)
        else:
            sys.exit(f"error: {command[0]} is not ready after five minutes; its log is {log}")
        yield
    finally:
        # The group: vLLM's engine and worker are processes of their own.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(path):
    def ask():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=2).status == 200
        except OSError:
            return False
    return ask


def run(command):
    outcome = subprocess.run(shown(command), capture_output=True, text=True)
    if outcome.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, command))} ended with {outcome.returncode}:\n{outcome.stderr[-2000:]}")
    return outcome.stdout


def over_http(clients):
    """Loads a server of OpenAI's completions, once to warm up."""
    load = [sys.executable, HERE / "peers/http_load.py", "--port", PORT, "--input", LENGTH, "--output", LENGTH]
    run(load + ["--clients", 2, "--requests", 2])
    return {count: json.loads(run(load + ["--clients", count, "--requests", TURNS * count])) for count in clients}


def ours(options, model, logs):
    command = [options.bin / "lmserve", "--model", model.folder, "--quantization", "w8a8", "--listen", f"127.0.0.1:{PORT}"]
    call = [options.bin / "lmcall", "--host", f"127.0.0.1:{PORT}"]
    result = f"{logs}/result.json"

    def ready():
        return subprocess.run([*call, "health"], capture_output=True).returncode == 0

    def load(count, requests):
        run([options.bin / "lmload", "--host", f"127.0.0.1:{PORT}", "--max-concurrency", count, "--num-prompts", requests,
             "--random-input-len", LENGTH, "--random-output-len", LENGTH, "--metric-percentiles", "50,99",
             "--save-result", result])
        return json.loads(pathlib.Path(result).read_text())

    with serving(command, {}, f"{logs}/lmserve.log", ready):
        load(2, 2)
        return {count: load(count, TURNS * count) for count in options.clients}


def vllm(folder):
    def measure(options, model, logs):
        venv = options.peers / "vllm"
        environment = {
            "LD_PRELOAD": f"/usr/lib/{os.uname().machine}-linux-gnu/libtcmalloc_minimal.so.4:{venv}/lib/libiomp5.so",
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{os.cpu_count() - 1}", "VLLM_CPU_KVCACHE_SPACE": "3", "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false",
        }
        command = [venv / "bin/vllm", "serve", folder(model), "--served-model-name", "m", "--host", "127.0.0.1", "--port",
                   str(PORT), "--max-model-len", "2048", "--max-num-seqs", "32", "--max-num-batched-tokens", "2048",
                   "--no-enable-prefix-caching"]
        with serving(command, environment, f"{logs}/vllm.log", answers("/health")):
            return over_http(options.clients)
    return measure


def openvino(options, model, logs):
    output = run([options.peers / "openvino/bin/python", HERE / "peers/openvino_load.py", "--source", model.folder,
                 "--folder", model.folder.with_suffix(".openvino"), "--clients", ",".join(map(str, options.clients)),
                 "--rounds-of-clients", TURNS, "--length", LENGTH])
    # The export, the first time, has much to say besides.
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {row["clients"]: row for row in rows}


def llama(options, model, logs):
    sys.path.insert(0, str(HERE))
    import compare_engines
    with tempfile.TemporaryDirectory() as links:
        programs = compare_engines.Llama(links)
        command = programs.command("llama-server", "-m", programs.file(model.gguf, "Q8_0"), "--host", "127.0.0.1", "--port", PORT, "--parallel",
                                   "32", "-cb", "-c", 32 * 512, "-t", os.cpu_count(), "--cache-ram", "0")
        with serving(command, programs.environment, f"{logs}/llama.log", answers("/health")):
            return over_http(options.clients)


class Model:
    def __init__(self, text):
        self.name, _, paths = text.partition("=")
        folder, _, gguf = paths.partition(",")
        self.folder, self.gguf = pathlib.Path(folder), pathlib.Path(gguf) if gguf else None

    @property
    def integers(self):
        return self.folder.with_suffix(".compressed-tensors")


ENGINES = {
    OURS: ours,
    "vLLM w8a8": vllm(lambda model: model.integers),
    "vLLM bf16": vllm(lambda model: model.folder),
    "OpenVINO int8": openvino,
    "llama.cpp Q8_0": llama,
}
FIGURES = ["output_throughput", "p50_ttft_ms", "p99_ttft_ms", "p50_itl_ms", "p99_itl_ms"]


def measure(options):
    """Medians over the rounds by (model, engine, clients)."""
    samples = {}
    for number in range(options.rounds):
        for model in options.models:
            for engine, run_engine in ENGINES.items():
                if engine not in options.engines or (run_engine is llama and model.gguf is None):
                    continue
                print(f"round {number + 1} of {options.rounds}: {model.name}, {engine}", file=sys.stderr)
                with tempfile.TemporaryDirectory() as logs:
                    for clients, figures in run_engine(options, model, logs).items():
                        samples.setdefault((model.name, engine, clients), []).append(figures)
    return {key: {name: statistics.median(one[name] for one in many) for name in FIGURES}
            for key, many in samples.items()}


def show(medians, options):
    print(f"{LENGTH} tokens in and out, {TURNS} requests a client, medians of {options.rounds} rounds in turns; load average "
          f"before: {options.load:.1f}")
    print(f"{'model':<13} {'clients':>7} {'engine':<15} {'tokens/s':>8} {'TTFT p50/p99 ms':>17} {'ITL p50/p99 ms':>16}  "
          f"lmcall is")
    for model, clients in dict.fromkeys((model, clients) for model, _, clients in medians):
        mine = medians.get((model, OURS, clients))
        peers = {engine: row for (name, engine, count), row in medians.items()
                 if (name, count) == (model, clients) and engine != OURS}
        for engine, row in ([(OURS, mine)] if mine else []) + list(peers.items()):
            ratio = "" if engine == OURS or not mine else f"{mine['output_throughput'] / row['output_throughput']:.2f}x"
            print(f"{model:<13} {clients:>7} {engine:<15} {row['output_throughput']:>8.1f} "
                  f"{row['p50_ttft_ms']:>8.0f}/{row['p99_ttft_ms']:<8.0f} {row['p50_itl_ms']:>7.1f}/{row['p99_itl_ms']:<8.1f} "
                  f"{ratio}")
        if mine and peers:
            best = max(row["output_throughput"] for row in peers.values())
            goal = TARGETS.get(model, {}).get(clients)
            ratio = mine["output_throughput"] / best
            verdict = "" if goal is None else f", target {goal:.1f}: {'met' if ratio >= goal else 'NOT met'}"
            waits = all(mine[name] < min(row[name] for row in peers.values()) for name in ("p99_ttft_ms", "p99_itl_ms"))
            print(f"{'':<21} {ratio:.2f}x the best peer{verdict}; p99 of both latencies "
                  f"{'lower' if waits else 'NOT lower'} than every peer's")
    print("\nCommands, the servers' and what loads them:")
    for command in commands:
        print("  " + command)


def main():
    def numbers(text):
        return [int(part) for part in text.split(",")]

    def engines(text):
        wanted = text.split(",")
        for name in wanted:
            if name not in ENGINES:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(ENGINES)}")
        return wanted

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of our programs")
    parser.add_argument("--peers", type=pathlib.Path, required=True, help="folder of the peers' environments")
    parser.add_argument("--models", type=Model, nargs="+", required=True, help="NAME=FOLDER[,Q4_1 GGUF]")
    parser.add_argument("--clients", type=numbers, default=[8, 16, 32])
    parser.add_argument("--engines", type=engines, default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    options.load = os.getloadavg()[0]
    medians = measure(options)
    show(medians, options)
    if options.json:
        options.json.write_text(json.dumps([{"model": m, "engine": e, "clients": c, **row}
                                            for (m, e, c), row in medians.items()], indent=1) + "\n")


if __name__ == "__main__":
    main()
