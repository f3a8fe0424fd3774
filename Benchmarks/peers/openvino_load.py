"""Loads OpenVINO GenAI's batching pipeline in this process as `lmload --max-concurrency` loads lmserve, and prints lmload's
keys as JSON, a line for each number of clients. The folder is made on the first use: weights as 8-bit integers."""

import argparse
import json
import os
import pathlib
import random
import time

import http_load


def export(source, folder):
    """Converts a Hugging Face folder. The tokenizer is one of bytes: prompts are token numbers, but the pipeline wants one."""
    from nncf import CompressWeightsMode  # noqa: F401  (the export needs it; a missing one should say so here)
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig
    OVModelForCausalLM.from_pretrained(
        source, export=True, quantization_config=OVWeightQuantizationConfig(bits=8)).save_pretrained(folder)


def run(pipeline, configuration, clients, prompts, np):
    import openvino
    requests, live, done, number = {}, {}, [], 0
    begin = time.monotonic()
    while prompts or live:
        while prompts and len(live) < clients:
            moments = [time.monotonic()]
            ids = openvino.Tensor(np.array([prompts.pop()], dtype=np.int64))
            live[number] = (pipeline.add_request(number, ids, configuration), moments)
            number += 1
        pipeline.step()
        now = time.monotonic()
        for key, (handle, moments) in list(live.items()):
            while handle.can_read():
                for output in handle.read().values():
                    moments += [now] * len(output.generated_ids)
            if handle.get_status().name == "FINISHED":
                done.append(moments)
                del live[key]
    return done, time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--clients", required=True)
    parser.add_argument("--rounds-of-clients", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--vocabulary", type=int, default=40000)
    options = parser.parse_args()
    if not (options.folder / "openvino_model.xml").exists():
        export(options.source, options.folder)

    import numpy as np
    import openvino_genai
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size, scheduler.max_num_seqs = 2, 32
    pipeline = openvino_genai.ContinuousBatchingPipeline(str(options.folder), scheduler, "CPU")
    configuration = openvino_genai.GenerationConfig()
    configuration.max_new_tokens, configuration.ignore_eos, configuration.do_sample = options.length, True, False
    numbers = random.Random(0)
    for clients in map(int, options.clients.split(",")):
        prompts = [[numbers.randrange(100, options.vocabulary) for _ in range(options.length)]
                   for _ in range(clients * options.rounds_of_clients)]
        done, seconds = run(pipeline, configuration, clients, prompts, np)
        assert all(len(moments) == options.length + 1 for moments in done), "a request ended early"
        print(json.dumps({"clients": clients, **http_load.figures(done, len(done) * options.length, seconds)}), flush=True)


if __name__ == "__main__":
    main()
