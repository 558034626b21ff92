"""What the local API costs: the same request over HTTP and through the engine's client, one after the other.

    python -m tests.benchmarks.overhead MODEL.gguf

Both sides have a worker of their own with the same settings, and take turns; greedy answers to prompts that differ from
round to round, so that none is in the KV cache. Time to first text and tokens per second after it, as each side's
caller sees them; medians, and Hearth's API over the client (its target: 0.97 of the speed).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine.client import WorkerClient
from engine.config import EngineConfig, LoadSpec
from engine.events import Event, ModelLoaded, RequestFinished, TokensEmitted
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams
from tests.benchmarks.http_chat import chat
from tests.benchmarks.servers import hearth
from tests.doubles.recorder import Recorder

N_CTX, N_PARALLEL = 2048, 4


@dataclass(frozen=True, slots=True)
class Speed:
    first_token_s: float
    tokens_per_s: float


@dataclass
class Arrivals:
    """A subscriber that notes when each piece of text came."""

    at_s: list[float] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        if isinstance(event, TokensEmitted) and event.text:
            self.at_s.append(time.perf_counter())


def question(number: int) -> str:
    return f"{number}. Write a very long story about the sea and {number + 2} ships."


def over_http(port: int, number: int, n_tokens: int) -> Speed:
    reply = chat(port, [{"role": "user", "content": question(number)}], n_tokens)
    return Speed(reply.first_token_s, reply.tokens_per_s)


def direct(client: WorkerClient, events: Recorder, number: int, n_tokens: int) -> Speed:
    request_id = RequestId(f"direct-{number}")
    messages = (ChatMessage(Role.USER, question(number)),)
    arrivals = Arrivals()
    unsubscribe = client.subscribe(arrivals)
    started_s = time.perf_counter()
    client.submit(GenerationRequest(request_id, messages, SamplingParams(temperature=0.0), n_tokens))
    outcome = events.outcome(request_id, timeout_s=300)
    unsubscribe()
    assert isinstance(outcome, RequestFinished)
    first_s, last_s = arrivals.at_s[0], arrivals.at_s[-1]
    return Speed(first_s - started_s, (outcome.usage.n_output - 1) / (last_s - first_s))


def measure(model: Path, n_rounds: int, n_tokens: int) -> tuple[list[Speed], list[Speed]]:
    """Of the API and of the client. The first round warms both up and does not count."""
    client, events = WorkerClient(), Recorder()
    client.subscribe(events)
    client.load(LoadSpec(str(model), EngineConfig(N_CTX, n_parallel=N_PARALLEL)))
    events.wait(ModelLoaded, timeout_s=300)
    served, called = [], []
    with tempfile.TemporaryDirectory() as home, hearth(model, Path(home), N_CTX, N_PARALLEL) as port:
        for number in range(n_rounds + 1):
            served.append(over_http(port, number, n_tokens))
            called.append(direct(client, events, number, n_tokens))
    client.close()
    return served[1:], called[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=200)
    arguments = parser.parse_args()
    served, called = measure(arguments.model.resolve(), arguments.rounds, arguments.tokens)
    http_s, client_s = (statistics.median(one.first_token_s for one in side) for side in (served, called))
    http_speed, client_speed = (statistics.median(one.tokens_per_s for one in side) for side in (served, called))
    sys.stdout.write(
        f"first token  HTTP {http_s * 1e3:7.1f} ms        client {client_s * 1e3:7.1f} ms        "
        f"+{(http_s - client_s) * 1e3:.1f} ms\n"
        f"decode       HTTP {http_speed:7.1f} tokens/s  client {client_speed:7.1f} tokens/s  "
        f"ratio {http_speed / client_speed:.3f}\n"
    )


if __name__ == "__main__":
    main()
