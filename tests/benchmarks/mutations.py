"""Give every mutated model file to the import and to a real worker: nothing may die but the process that is meant to.

    python -m tests.benchmarks.mutations [--worker all|passed|none] [--only TEXT]

Import: our reader and checks, then llama.cpp's own look, in the probe's process. Load: a worker, and an answer of some
tokens where it loads. Tells how each case ended, the slowest ones, and which ones llama.cpp aborted over although our
check let them pass: each of those asks for a rule in ``engine/gguf/check.py``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.client import WorkerClient
from engine.config import EngineConfig, LoadSpec
from engine.errors import ErrorInfo, ModelFileError
from engine.events import EngineFailed, Event, LoadFailed, ModelLoaded, ModelUnloaded, RequestFailed, RequestFinished
from engine.probe import HeaderProbe
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams
from tests.doubles.gguf_mutator import Mutation, mutations

LIMIT_S = 20.0
GREEDY = SamplingParams(temperature=0.0)
QUESTION = (ChatMessage(Role.USER, "hello"),)
N_TOKENS = 4


@dataclass(frozen=True)
class Outcome:
    """``how`` is one word: refused, died, loads, answers, silent."""

    how: str
    sentence: str
    seconds: float


def imported(probe: HeaderProbe, path: Path) -> Outcome:
    began_s = time.monotonic()
    try:
        probe(path, path.name, by_llama=True)
    except ModelFileError as error:
        how = "died" if "stopped while it loaded" in error.text else "refused"
        return Outcome(how, error.text, time.monotonic() - began_s)
    return Outcome("loads", "", time.monotonic() - began_s)


def loaded(path: Path) -> Outcome:
    """In a worker of its own, with an answer where it can be had."""
    began_s = time.monotonic()
    ended, said = threading.Event(), list[tuple[str, str]]()

    def end(how: str, error: ErrorInfo | None = None) -> None:
        said.append((how, error.text if error is not None else ""))
        ended.set()

    def hear(event: Event) -> None:
        match event:
            case ModelLoaded():
                client.submit(GenerationRequest(RequestId("a"), QUESTION, GREEDY, N_TOKENS))
            case LoadFailed(error=error):
                end("died" if error.kind == "EngineStopped" else "refused", error)
            case RequestFinished():
                end("answers")
            case RequestFailed(error=error):
                end("fails", error)
            case EngineFailed(error=error):
                end("died", error)
            case ModelUnloaded():
                pass

    client = WorkerClient()
    client.subscribe(hear)
    client.load(LoadSpec(str(path), EngineConfig(n_ctx=256, n_threads=1, n_gpu_layers=0)))
    is_over = ended.wait(LIMIT_S)
    client.close()
    how, sentence = said[0] if is_over else ("silent", "")
    return Outcome(how, sentence, time.monotonic() - began_s)


def run(cases: Iterator[Mutation], folder: Path, worker: str) -> int:
    probe, path = HeaderProbe(), folder / "case.gguf"
    counts: Counter[str] = Counter()
    bad, slowest_s = [], 0.0
    for case in cases:
        path.write_bytes(case.data)
        taken = imported(probe, path)
        counts[f"import: {taken.how}"] += 1
        outcomes = [taken]
        if worker == "all" or (worker == "passed" and taken.how in ("loads", "died")):
            outcomes.append(loaded(path))
            counts[f"worker: {outcomes[-1].how}"] += 1
        slowest_s = max(slowest_s, *(outcome.seconds for outcome in outcomes))
        bad += [(case.label, one) for one in outcomes if one.how in ("died", "silent") or one.seconds > LIMIT_S]
    probe.rest()
    for what, n in sorted(counts.items()):
        print(f"{what:20} {n:6,}")  # noqa: T201 - a program run by hand
    print(f"slowest: {slowest_s:.2f} s")  # noqa: T201
    for label, outcome in bad:
        print(f"{outcome.how}: {label}: {outcome.sentence[:200]}")  # noqa: T201
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", choices=("all", "passed", "none"), default="passed")
    parser.add_argument("--only", default="", help="only cases whose label contains this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = (case for case in mutations(Path(folder)) if arguments.only in case.label)
        return run(cases, Path(folder), arguments.worker)


if __name__ == "__main__":
    sys.exit(main())
