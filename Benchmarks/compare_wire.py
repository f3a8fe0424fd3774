"""Runs our server and the yardstick in turns under the same load and prints the table. Started by Benchmarks/wire."""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

SERVER_CORE, CLIENT_CORE = 0, 1
OURS, YARDSTICK = "lmcall", "C epoll"
# What the token source remembers of a sequence, as the allocator counts it: an object of 80 bytes and its dictionary entry.
SEQUENCE_BYTES = 106


@dataclasses.dataclass
class Work:
    """One workload: how the servers and the client are started for it."""
    name: str
    client: list
    step_us: int = 0
    tls: bool = False
    is_load: bool = True
    # Whether the yardstick's tokens too come from a second thread.
    has_source: bool = False


@dataclasses.dataclass
class Row:
    """One line of the table: a figure of one workload, and what it should be."""
    title: str
    work: str
    value: object  # result -> number
    digits: int
    target: float
    is_ratio: bool = False
    published: str = ""


def works(options):
    second = ["--seconds", options.seconds, "--warm-up", 0.8]
    for tls in (False, True):
        suffix = " TLS" if tls else ""
        yield Work("saturated" + suffix, ["load", "--streams", 100, *second], tls=tls)
        yield Work("thin" + suffix, ["load", "--connections", 1000, *second, "--ages", 1], step_us=20_000, tls=tls)
        yield Work("gateway" + suffix, ["load", "--streams", 1000, *second, "--ages", 1], step_us=20_000, tls=tls)
        yield Work("hop" + suffix, ["load", *second, "--ages", 1], step_us=1_000, tls=tls)
        yield Work("handed hop" + suffix, ["load", *second, "--ages", 1], step_us=1_000, tls=tls, has_source=True)
        yield Work("unary" + suffix, ["unary", "--count", int(5000 * options.seconds)], tls=tls, is_load=False)
        yield Work("held" + suffix, ["hold", "--connections", options.held, "--streams", options.held], tls=tls,
                   is_load=False)


def per_token(result):
    return result["server"]["cpu_ns"] / 1e3 / result["tokens"]


def allocations_per_token(result):
    return result["server"]["allocations"] / result["tokens"]


ROWS = [
    Row("saturated, 100 streams on 1 connection: µs/token", "saturated", per_token, 4, 0.05, published="9.04"),
    Row("… TLS", "saturated TLS", per_token, 4, 0.06),
    Row("paced, 1,000 connections, 50,000 tokens/s: µs/token", "thin", per_token, 2, 9.5, published="52"),
    Row("… TLS", "thin TLS", per_token, 2, 15),
    Row("paced, 1,000 streams on 1 connection: µs/token", "gateway", per_token, 3, 0.4, published="25.1"),
    Row("… TLS", "gateway TLS", per_token, 3, 1.0),
    Row("one token's hop, p50: µs", "hop", lambda r: r["hop_us"][0], 1, 1.3, True, "332"),
    Row("… p99", "hop", lambda r: r["hop_us"][1], 1, 1.3, True, "833"),
    Row("… TLS, p50", "hop TLS", lambda r: r["hop_us"][0], 1, 1.3, True),
    Row("… p50, C with a second thread for the model, as we have", "handed hop", lambda r: r["hop_us"][0], 1, 1.3, True),
    Row("… TLS, p50, likewise", "handed hop TLS", lambda r: r["hop_us"][0], 1, 1.3, True),
    Row("unary round trip, p50: µs", "unary", lambda r: r["round_trip_us"][0], 1, 1.3, True, "932"),
    Row("… TLS, p50", "unary TLS", lambda r: r["round_trip_us"][0], 1, 1.3, True),
    Row("memory of an idle connection: bytes", "held", lambda r: r["connection_bytes"], 0, 1024, published="41,984"),
    Row("… TLS", "held TLS", lambda r: r["connection_bytes"], 0, 16384),
    Row("memory of an open stream beside its sequence: bytes", "held", lambda r: r["stream_bytes"], 0, 512,
        published="20,480"),
    Row("bytes on the wire, a lone token of 6 bytes of text", "hop", lambda r: r["lone_bytes"], 2, 22, published="25"),
    Row("… of 16 tokens or more in a frame", "saturated", lambda r: r.get("coalesced_bytes", 0), 2, 12, published="25"),
    Row("allocations per token, saturated", "saturated", allocations_per_token, 2, 0),
    Row("… TLS: OpenSSL's own", "saturated TLS", allocations_per_token, 1, 1.05, True),
    Row("… paced, 1,000 connections", "thin", allocations_per_token, 2, 0),
    Row("… TLS: OpenSSL's own", "thin TLS", allocations_per_token, 1, 1.05, True),
    Row("… paced, 1,000 streams on 1 connection", "gateway", allocations_per_token, 2, 0),
]


def pinned(core):
    """Binds a child to a processor and, where that is allowed, puts it first there: the machine may have other work."""
    def pin():
        os.sched_setaffinity(0, {core})
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)
            # Linux shares a processor among sessions first.
            os.setsid()
            pathlib.Path("/proc/self/autogroup").write_text("-20")
    return pin


@contextlib.contextmanager
def running(command):
    """A server on its processor; yields its port and process id."""
    server = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                              preexec_fn=pinned(SERVER_CORE))
    try:
        line = server.stdout.readline()
        if not line.startswith("listening on "):
            sys.exit(f"error: {' '.join(map(str, command))} does not listen")
        yield int(line.rsplit(":", 1)[1]), server.pid
    finally:
        server.kill()
        server.wait()


def measure(side, work, options, scratch, frame_tokens):
    """One round of one workload against one server."""
    counters = ["--counters", scratch / "counters"]
    command = [options.programs / ("WireServer" if side == OURS else "wire-server"), "--step-us", work.step_us, *counters]
    client = [options.programs / "wire-client", *work.client, *counters]
    if side == YARDSTICK and frame_tokens:
        command += ["--frame-tokens", frame_tokens]
    if side == YARDSTICK and work.has_source:
        command += ["--source-thread", 1]
    if work.tls:
        command += ["--tls-cert", scratch / "certificate", "--tls-key", scratch / "key"]
        client += ["--tls", 1]
    with running(command) as (port, pid):
        client += ["--port", port, "--pid", pid]
        run = subprocess.run([str(word) for word in client], capture_output=True, text=True,
                             preexec_fn=pinned(CLIENT_CORE))
    if run.returncode != 0:
        sys.exit(f"error: {side}, {work.name}: {run.stderr.strip()}")
    result = json.loads(run.stdout)
    threads = result.pop("threads", {})
    if threads:
        result["server"] = threads["io-0"] if side == OURS else threads["wire-server"]
        if side == OURS:
            result["feeder"] = threads["WireServer"]
    if side == OURS and "stream_bytes" in result:
        result["stream_bytes"] -= SEQUENCE_BYTES
    return result


def make_certificate(scratch):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", scratch / "key", "-out", scratch / "certificate"],
        check=True, capture_output=True)


def show(progress):
    if sys.stderr.isatty():
        print(f"\r{progress:<72}\r", end="", file=sys.stderr, flush=True)


def measure_all(options, wanted):
    """Results by (side, work), a list of rounds each; sides take turns within a round."""
    results = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        scratch = pathlib.Path(folder)
        make_certificate(scratch)
        for number in range(options.rounds):
            for work in wanted:
                if work.name.startswith("held") and number > 0:
                    continue  # memory does not vary
                frame_tokens = None
                for side in (OURS, YARDSTICK):
                    show(f"round {number + 1} of {options.rounds}: {work.name}, {side}")
                    result = measure(side, work, options, scratch, frame_tokens)
                    # The yardstick packs as many tokens into a frame as our server did.
                    if work.is_load and not work.step_us:
                        frame_tokens = max(1, round(result["tokens"] / result["frames"]))
                    results.setdefault((side, work.name), []).append(result)
    show("")
    return results


def median(results, side, row):
    return statistics.median(row.value(result) for result in results[side, row.work])


def number(value, digits):
    return f"{value:,.{digits}f}"


def print_table(results):
    print(f"{'':<56}{OURS:>10}{YARDSTICK:>10}{'ratio':>8}{'target':>9}  {'':<5}{'grpc-swift*':>12}")
    missed = 0
    for row in ROWS:
        if (OURS, row.work) not in results:
            continue
        ours, yardstick = median(results, OURS, row), median(results, YARDSTICK, row)
        ratio = ours / yardstick if round(yardstick, row.digits) > 0 else None
        is_met = round(ours, row.digits) <= (row.target * yardstick if row.is_ratio else row.target)
        missed += not is_met
        target = f"{row.target}x" if row.is_ratio else number(row.target, 0 if row.target >= 100 else 2).rstrip("0").rstrip(".")
        print(f"{row.title:<56}{number(ours, row.digits):>10}{number(yardstick, row.digits):>10}"
              f"{'' if ratio is None else f'{ratio:.2f}x':>8}{target:>9}  {'met' if is_met else 'MISSED':<6}"
              f"{row.published:>11}")
    print("\n* published for grpc-swift 2.4.3 with the same work, not run here; 'allocations' counts the serving thread's.")
    return missed


def print_details(results):
    print("\nBeside the table, medians:")
    for (side, name), rounds in results.items():
        def of(value):
            return statistics.median(value(result) for result in rounds)
        if name.startswith("held"):
            held = rounds[0]
            print(f"  {name + ', ' + side:<24}{held['connections']:,} connections made in "
                  f"{held['connect_us']:,.0f} µs each, then {held['streams']:,} streams: "
                  f"{held['memory_bytes'] / 2**20:,.1f} MiB; all of them answered")
            continue
        if "calls" in rounds[0]:
            print(f"  {name + ', ' + side:<24}p99 {of(lambda r: r['round_trip_us'][1]):.1f} µs, server "
                  f"{of(lambda r: r['server']['cpu_ns'] / r['calls']) / 1e3:.2f} µs a call")
            continue
        text = (f"  {name + ', ' + side:<24}{of(lambda r: r['tokens'] / r['seconds']):>12,.0f} tokens/s, "
                f"{of(lambda r: r['tokens'] / r['frames']):6.1f} a frame, "
                f"client {of(lambda r: r['client_cpu_ns'] / r['tokens']) / 1e3:.3f} µs")
        if "feeder" in rounds[0]:
            text += f", token source {of(lambda r: r['feeder']['cpu_ns'] / r['tokens']) / 1e3:.3f} µs"
        if "hop_us" in rounds[0]:
            text += f", hop p50 {of(lambda r: r['hop_us'][0]):.0f} p99 {of(lambda r: r['hop_us'][1]):.0f} µs"
        print(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true", help="about two minutes: shorter, fewer rounds, 1,000 held")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--held", type=int, help="connections and streams that are held open")
    parser.add_argument("--only", default="", help="workloads whose name begins so")
    parser.add_argument("--json", type=pathlib.Path, help="where every round's figures go")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.5 if options.quick else 2)
    options.held = options.held or (1000 if options.quick else 10_000)

    if not {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0):
        sys.exit(f"error: processors {SERVER_CORE} and {CLIENT_CORE} are needed")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < options.held + 100:
        sys.exit(f"error: {most} descriptors allowed, {options.held + 100} needed; raise `ulimit -Hn` or lower --held")

    wanted = [work for work in works(options) if work.name.startswith(options.only)]
    results = measure_all(options, wanted)
    if options.json:
        rounds = [{"side": side, "work": name, "rounds": values} for (side, name), values in results.items()]
        options.json.write_text(json.dumps(rounds, indent=1))
    missed = print_table(results)
    print_details(results)
    if missed:
        print(f"\n{missed} targets missed.")


if __name__ == "__main__":
    main()
