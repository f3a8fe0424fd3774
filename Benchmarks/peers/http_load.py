"""Loads a server of OpenAI's completions over HTTP as `lmload --max-concurrency` loads lmserve, and prints lmload's keys as
JSON: so many clients, each with one streaming request after another, prompts of random token numbers, ends ignored."""

import argparse
import http.client
import itertools
import json
import random
import threading
import time


def percentile(values, share):
    """Between the two nearest ranks, as numpy and lmload have it."""
    values = sorted(values)
    place = (len(values) - 1) * share / 100
    low = int(place)
    return values[low] + (values[min(low + 1, len(values) - 1)] - values[low]) * (place - low)


def figures(requests, output_tokens, seconds):
    """lmload's keys of the moments at which each request began and had each of its events."""
    first = [(moments[1] - moments[0]) * 1e3 for moments in requests]
    between = [(b - a) * 1e3 for moments in requests for a, b in itertools.pairwise(moments[1:])]
    return {
        "completed": len(requests), "duration": seconds, "output_throughput": output_tokens / seconds,
        "p50_ttft_ms": percentile(first, 50), "p99_ttft_ms": percentile(first, 99),
        "p50_itl_ms": percentile(between, 50), "p99_itl_ms": percentile(between, 99),
    }


def generate(options, prompt):
    """The moments of the request and of its events."""
    connection = http.client.HTTPConnection("127.0.0.1", options.port)
    moments = [time.monotonic()]
    connection.request("POST", "/v1/completions", json.dumps({
        "model": options.model, "prompt": prompt, "max_tokens": options.output, "temperature": 0, "ignore_eos": True,
        "stream": True, "cache_prompt": False,
    }), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {response.read(500)}")
    reason = None
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        choice = (json.loads(line[6:]).get("choices") or [{}])[0]
        reason = choice.get("finish_reason") or reason
        moments.append(time.monotonic())
    connection.close()
    if reason != "length":
        raise RuntimeError(f"ended early: {reason}")
    return moments


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default="m")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--input", type=int, default=128)
    parser.add_argument("--output", type=int, default=128)
    parser.add_argument("--vocabulary", type=int, default=40000)
    options = parser.parse_args()

    numbers = random.Random(0)
    prompts = iter([[numbers.randrange(100, options.vocabulary) for _ in range(options.input)]
                    for _ in range(options.requests)])
    lock, done, failures = threading.Lock(), [], []

    def work():
        while not failures:
            with lock:
                prompt = next(prompts, None)
            if prompt is None:
                return
            try:
                done.append(generate(options, prompt))
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                failures.append(error)

    begin = time.monotonic()
    workers = [threading.Thread(target=work) for _ in range(options.clients)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise SystemExit(f"error: {failures[0]}")
    print(json.dumps(figures(done, len(done) * options.output, time.monotonic() - begin)))


if __name__ == "__main__":
    main()
