"""Decoding while other programs keep every core busy: Hearth's own choice against a sweep over threads and waiting.

    HEARTH_PEERS=folder python -m tests.benchmarks.busy MODEL.gguf

The sweep fixes the number of threads and OMP_WAIT_POLICY; llama-server runs as it comes. Tokens per second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from engine.client import WorkerClient
from engine.config import EngineConfig, LoadSpec
from engine.events import ModelLoaded, RequestFinished
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams
from tests.benchmarks.http_chat import chat
from tests.benchmarks.peers import peer_tools
from tests.benchmarks.servers import llama_server
from tests.doubles.recorder import Recorder

QUESTION = "Write a very long story about the sea."


def speed(model: Path, n_threads: int | None, environment: Mapping[str, str], rounds: int, n_tokens: int) -> float:
    os.environ.update(environment)
    client, events = WorkerClient(), Recorder()
    client.subscribe(events)
    client.load(LoadSpec(str(model), EngineConfig(n_threads=n_threads)))
    events.wait(ModelLoaded)
    speeds = []
    for number in range(rounds):
        request_id = RequestId(str(number))
        messages = (ChatMessage(Role.USER, QUESTION),)
        client.submit(GenerationRequest(request_id, messages, SamplingParams(temperature=0.0), n_tokens))
        outcome = events.outcome(request_id, timeout_s=300)
        assert isinstance(outcome, RequestFinished)
        speeds.append(outcome.timings.decode_tokens_per_s(outcome.usage.n_output) or 0.0)
    client.close()
    for name in environment:
        del os.environ[name]
    return statistics.median(speeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    model, n_cores = arguments.model.resolve(), os.cpu_count() or 1
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_cores)]
    try:
        own = speed(model, None, {}, arguments.rounds, arguments.tokens)
        swept = {
            (n_threads, policy): speed(
                model, n_threads, {"OMP_WAIT_POLICY": policy}, arguments.rounds, arguments.tokens
            )
            for n_threads in range(1, n_cores + 1)
            for policy in ("active", "passive")
        }
        with peer_tools() as (folder, environment), llama_server(folder, environment, model, 4096, 1) as port:
            question = [{"role": "user", "content": QUESTION}]
            theirs = statistics.median(
                chat(port, question, arguments.tokens // 2).tokens_per_s for _ in range(arguments.rounds)
            )
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
    for (n_threads, policy), result in swept.items():
        sys.stdout.write(f"{n_threads} threads, {policy:8} {result:7.1f}\n")
    best = max(swept.values())
    sys.stdout.write(f"own choice   {own:7.1f}  of the best {own / best:.2f}\n")
    sys.stdout.write(f"llama-server {theirs:7.1f}  ratio {own / theirs:.2f}\n")


if __name__ == "__main__":
    main()
