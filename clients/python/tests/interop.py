"""Holds a running server against the Python client, case by case, a line each:

    python3 -m tests.interop 127.0.0.1:7433 [--key KEY] [--other-key KEY] [--tls-ca FILE] [--process ID] [CASE ...]
"""

from __future__ import annotations

import argparse
import sys
import time

from .interoperation import connections, generation, resumption
from .interoperation.session import Skip, Target


def main() -> int:
    parser = argparse.ArgumentParser(prog="interop", description="Holds a running lmcall server against the Python client.")
    parser.add_argument("address", help="HOST:PORT or unix:PATH")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names of cases; all without any")
    parser.add_argument("--key", help="bearer key")
    parser.add_argument("--other-key", help="bearer key of another identity")
    parser.add_argument("--tls-ca", help="use TLS and trust this authority, PEM")
    parser.add_argument("--process", type=int, help="the server's process id, which the last case ends by SIGTERM")
    options = parser.parse_args()
    target = Target(options.address, options.key, options.other_key, options.tls_ca, options.process)

    cases = {case.__name__: case for case in [*connections.CASES, *generation.CASES, *resumption.CASES, *connections.LAST]}
    if unknown := set(options.cases) - set(cases):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    failures = 0
    for name, case in cases.items():
        if options.cases and name not in options.cases:
            continue
        start = time.monotonic()
        try:
            case(target)
            outcome = "ok"
        except Skip as reason:
            outcome = f"skipped: {reason}"
        except Exception as error:  # whatever it is, the next case may tell more
            outcome = f"FAILED: {type(error).__name__}: {error}"
            failures += 1
        print(f"{name:40} {time.monotonic() - start:7.3f} s  {outcome}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
