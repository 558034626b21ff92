"""A 400-token message typed at five words a second, then Enter: how long is the wait for the first token?

    python -m tests.benchmarks.typing_ahead MODEL.gguf

Prints it in seconds and in decode steps, next to the wait without reading ahead.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from engine.client import WorkerClient
from engine.config import LoadSpec
from engine.events import ModelLoaded, RequestFinished
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams
from tests.benchmarks.texts import words
from tests.doubles.recorder import Recorder

WORDS_PER_S = 5.0


def ask(client: WorkerClient, events: Recorder, name: str, text: str) -> RequestFinished:
    message = ChatMessage(Role.USER, text)
    client.submit(
        GenerationRequest(RequestId(name), (message,), SamplingParams(temperature=0.0), 32, conversation=name)
    )
    outcome = events.outcome(RequestId(name), timeout_s=120)
    if not isinstance(outcome, RequestFinished) or outcome.timings.first_token_s is None:
        sys.exit(f"no answer: {outcome}")
    return outcome


def type_out(client: WorkerClient, name: str, text: str) -> None:
    """As the window does it: what stands in the composer is sent ahead whenever it changed."""
    typed: list[str] = []
    for word in text.split():
        typed.append(word)
        client.read_ahead(name, (ChatMessage(Role.USER, " ".join(typed)),))
        time.sleep(1 / WORDS_PER_S)  # this is the typing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", type=int, default=390)
    arguments = parser.parse_args()
    client, events = WorkerClient(), Recorder()
    client.subscribe(events)
    client.load(LoadSpec(str(arguments.model.resolve())))
    events.wait(ModelLoaded)
    ahead, cold, steps_s = [], [], []
    for number in range(arguments.rounds):
        text = words(arguments.words, number)
        type_out(client, f"typed {number}", text)
        typed = ask(client, events, f"typed {number}", text)
        pasted = ask(client, events, f"pasted {number}", words(arguments.words, 1000 + number))
        ahead.append(typed.timings.first_token_s or 0.0)
        cold.append(pasted.timings.first_token_s or 0.0)
        steps_s.append(1 / (pasted.timings.decode_tokens_per_s(pasted.usage.n_output) or 1.0))
        sys.stdout.write(f"{typed.usage.n_cached} of {typed.usage.n_prompt} tokens were read while typing\n")
    client.close()
    wait_s, step_s = statistics.median(ahead), statistics.median(steps_s)
    sys.stdout.write(
        f"after typing {wait_s * 1e3:7.1f} ms = {wait_s / step_s:.2f} decode steps of {step_s * 1e3:.1f} ms\n"
    )
    sys.stdout.write(f"pasted       {statistics.median(cold) * 1e3:7.1f} ms\n")


if __name__ == "__main__":
    main()
