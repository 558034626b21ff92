"""How long after its worker died in the middle of an answer does the engine answer the next question?

    python -m tests.benchmarks.recovery MODEL.gguf

For each way to die: seconds from the signal to the failed answer, and to the end of the next, 16-token answer, which
is asked right after the signal.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from engine.client import WorkerClient
from engine.config import LoadSpec
from engine.events import ModelLoaded, RequestFinished, TokensEmitted
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams
from tests.doubles.recorder import Recorder


def request(name: str, max_tokens: int | None) -> GenerationRequest:
    messages = (ChatMessage(Role.USER, "Tell me a long story about a lighthouse."),)
    return GenerationRequest(RequestId(name), messages, SamplingParams(temperature=0.0), max_tokens)


def measure(model: Path, kind: signal.Signals) -> tuple[float, float]:
    client, events = WorkerClient(), Recorder()
    client.subscribe(events)
    client.load(LoadSpec(str(model)))
    events.wait(ModelLoaded)
    client.submit(request("victim", None))
    events.wait(TokensEmitted)
    assert client.worker_pid is not None
    os.kill(client.worker_pid, kind)
    killed_s = time.monotonic()
    events.outcome(RequestId("victim"))
    failed_s = time.monotonic()
    client.submit(request("next", 16))
    answer = events.outcome(RequestId("next"))
    answered_s = time.monotonic()
    client.close()
    if not isinstance(answer, RequestFinished):
        sys.exit(f"{kind.name}: the next question was not answered: {answer}")
    return failed_s - killed_s, answered_s - killed_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    model = parser.parse_args().model.resolve()
    for kind in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGSTOP):
        failed_s, answered_s = measure(model, kind)
        sys.stdout.write(f"{kind.name:8} failed after {failed_s:5.2f} s, next answer after {answered_s:5.2f} s\n")


if __name__ == "__main__":
    main()
