"""Decode speed through the worker, as a client sees it, against llama-bench on the same file and threads.

    HEARTH_PEERS=folder python -m tests.benchmarks.decode MODEL.gguf

Both sides take turns in one run; the medians of the rounds are compared. llama-bench begins at the depth of our prompt
(``-d``), because every token attends to what is before it. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
from pathlib import Path

from engine.client import WorkerClient
from engine.config import EngineConfig, LoadSpec
from engine.events import Event, LoadFailed, ModelLoaded, RequestFailed, RequestFinished
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams
from tests.benchmarks.peers import llama_bench, peer_tools


class Answers:
    """Waits for what a client is told."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._outcome: Event | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, ModelLoaded | LoadFailed | RequestFinished | RequestFailed):
            self._outcome = event
            self._arrived.set()

    def next(self) -> Event:
        self._arrived.wait()
        self._arrived.clear()
        assert self._outcome is not None
        return self._outcome


def hearth_speed(client: WorkerClient, answers: Answers, round_number: int, n_tokens: int) -> tuple[float, int]:
    """Tokens/s after the first token, greedy as in llama-bench, and the depth at which the answer began.

    Like llama-bench, which warms up before it measures, this decodes a little first: the other side has just used the
    caches for its own weights.
    """
    warm_up = (ChatMessage(Role.USER, "Hello"),)
    client.submit(GenerationRequest(RequestId(f"warm-up-{round_number}"), warm_up, SamplingParams(temperature=0.0), 32))
    answers.next()
    messages = (ChatMessage(Role.USER, "Write a very long story about a lighthouse and the sea."),)
    request = GenerationRequest(
        RequestId(f"round-{round_number}"), messages, SamplingParams(temperature=0.0), max_tokens=n_tokens
    )
    client.submit(request)
    outcome = answers.next()
    if not isinstance(outcome, RequestFinished) or outcome.usage.n_output < n_tokens // 2:
        sys.exit(f"The answer was not usable: {outcome}")
    speed = outcome.timings.decode_tokens_per_s(outcome.usage.n_output)
    assert speed is not None
    return speed, outcome.usage.n_prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    client, answers = WorkerClient(), Answers()
    client.subscribe(answers)
    client.load(LoadSpec(str(arguments.model.resolve()), EngineConfig(n_threads=arguments.threads)))
    if not isinstance(loaded := answers.next(), ModelLoaded):
        sys.exit(f"The model was not loaded: {loaded}")
    ours: list[float] = []
    theirs: list[float] = []
    with peer_tools() as (folder, environment):
        for number in range(arguments.rounds):
            speed, depth = hearth_speed(client, answers, number, arguments.tokens)
            ours.append(speed)
            theirs += llama_bench(
                folder, environment, arguments.model, arguments.threads, arguments.tokens, "-d", str(depth)
            )
    client.close()
    hearth, bench = statistics.median(ours), statistics.median(theirs)
    sys.stdout.write(f"hearth      {hearth:7.1f} tokens/s  ({', '.join(f'{speed:.0f}' for speed in ours)})\n")
    sys.stdout.write(f"llama-bench {bench:7.1f} tokens/s  ({', '.join(f'{speed:.0f}' for speed in theirs)})\n")
    sys.stdout.write(f"ratio       {hearth / bench:7.3f}\n")


if __name__ == "__main__":
    main()
