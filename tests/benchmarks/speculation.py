"""Speculative decoding through the worker, against none and against llama-server's best, on deepened models.

    HEARTH_PEERS=folder python -m tests.benchmarks.speculation MODEL.gguf --cache FOLDER --type F16 --case perfect

The targets are MODEL made five times as deep by copies of its blocks (``deepened``), made once and kept in FOLDER.
Cases: perfect (copies add nothing), imperfect (they add a little), hostile (the draft is random), quoting (n-gram
lookup alone, on an answer that repeats the question), streams (eight at once, perfect draft). With and without take
turns in one run; greedy, so that both say the same. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.client import WorkerClient
from engine.config import CacheConfig, DraftConfig, DraftMode, EngineConfig, LoadSpec
from engine.events import Event, LoadFailed, ModelLoaded, RequestFailed, RequestFinished
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams
from tests.benchmarks.decode import Answers
from tests.benchmarks.deepened import KEEP, TYPES, deepen
from tests.benchmarks.http_chat import chat
from tests.benchmarks.peers import peer_tools
from tests.benchmarks.servers import llama_server
from tests.benchmarks.texts import words

LENGTHS = (1, 3, 8, 16)
N_STREAMS = 8
TOPICS = ("a lighthouse and the sea", "a gardener in winter", "two sisters and a train", "the first library of a town")


@dataclass(frozen=True)
class Files:
    target: Path
    draft: Path | None


@dataclass
class Side:
    """One engine with the model loaded, and how fast it was."""

    client: WorkerClient
    answers: Answers
    speeds: list[float] = field(default_factory=list)
    n_drafted: int = 0
    n_accepted: int = 0
    last: str = ""


def make_files(model: Path, folder: Path, type_name: str, case: str) -> Files:
    """Made where they are not there yet."""
    scale = 0.05 if case == "imperfect" else 0.0
    target = _made(
        folder / f"target-{type_name}-{scale:g}.gguf", lambda path: deepen(model, path, type_name, scale=scale)
    )
    if case == "quoting":
        return Files(target, None)
    seed = 1 if case == "hostile" else 0
    draft = folder / f"draft-{type_name}{'-random' if seed else ''}.gguf"
    return Files(target, _made(draft, lambda path: deepen(model, path, type_name, times=1, seed=seed)))


def _made(path: Path, make: Callable[[Path], object]) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        make(unfinished)
        unfinished.rename(path)
    return path


@contextlib.contextmanager
def loaded(files: Files, cache: Path, drafting: DraftConfig) -> Iterator[Side]:
    client, answers = WorkerClient(), Answers()
    client.subscribe(answers)
    config = EngineConfig(n_ctx=4096)
    client.load(LoadSpec(str(files.target), config, CacheConfig(0, 1 << 30, str(cache)), drafting))
    outcome = answers.next()
    if not isinstance(outcome, ModelLoaded) or outcome.info.draft_problem:
        sys.exit(f"The model was not loaded: {outcome}")
    try:
        yield Side(client, answers)
    finally:
        client.close()


def question(number: int) -> str:
    return f"Write a very long story about {TOPICS[number % len(TOPICS)]}."


def request(case: str, number: int, n_tokens: int) -> GenerationRequest:
    """Greedy. For quoting it is a text that stands there twice and begins a third time: no model fails to go on."""
    name, sampling = RequestId(f"{number}"), SamplingParams(temperature=0.0)
    if case == "quoting":
        passage = f"{words(150, number)}.\n\n"
        return GenerationRequest(name, (), sampling, n_tokens, prompt=f"{passage}{passage}{passage[:40]}")
    return GenerationRequest(name, (ChatMessage(Role.USER, question(number)),), sampling, n_tokens)


def answer(side: Side, asked: GenerationRequest) -> RequestFinished:
    side.client.submit(asked)
    outcome = side.answers.next()
    if not isinstance(outcome, RequestFinished):
        sys.exit(f"The answer was not usable: {outcome}")
    return outcome


def one_stream(side: Side, case: str, number: int, n_tokens: int) -> None:
    finished = answer(side, request(case, number, n_tokens))
    speed = finished.timings.decode_tokens_per_s(finished.usage.n_output)
    assert speed is not None
    side.speeds.append(speed)
    _count(side, finished)


def many_streams(side: Side, number: int, n_tokens: int) -> None:
    """Tokens of all streams a second, prompts included in the time."""
    finished: list[RequestFinished] = []
    done = Answers()

    def hear(event: Event) -> None:
        if isinstance(event, RequestFinished):
            finished.append(event)
        if isinstance(event, RequestFailed | LoadFailed) or len(finished) == N_STREAMS:
            done(event)

    leave = side.client.subscribe(hear)
    began_s = time.monotonic()
    for stream in range(N_STREAMS):
        messages = (ChatMessage(Role.USER, f"{words(10, stream)}. {question(number)}"),)
        name = RequestId(f"{number}-{stream}")
        side.client.submit(GenerationRequest(name, messages, SamplingParams(temperature=0.0), n_tokens))
    done.next()
    side.speeds.append(sum(item.usage.n_output for item in finished) / (time.monotonic() - began_s))
    leave()
    for item in finished:
        _count(side, item)


def _count(side: Side, finished: RequestFinished) -> None:
    if finished.drafting is not None:
        side.n_drafted += finished.drafting.n_drafted
        side.n_accepted += finished.drafting.n_accepted
        side.last = str(finished.drafting)


def peer_speeds(files: Files, n_tokens: int, rounds: int) -> dict[int, float]:
    """llama-server's median by its longest draft; 0 stands for none."""
    speeds: dict[int, float] = {}
    with peer_tools() as (folder, environment):
        for length in (0, *LENGTHS):
            named = ["--spec-type", "draft-simple", "--spec-draft-model", str(files.draft)]
            options = [*named, "--spec-draft-n-max", str(length)] if length else []
            with llama_server(folder, environment, files.target, 4096, 1, *options) as port:
                samples = [
                    chat(port, [{"role": "user", "content": question(number)}], n_tokens).tokens_per_s
                    for number in range(rounds)
                ]
            speeds[length] = statistics.median(samples)
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--type", choices=(*TYPES, KEEP), default="F16")
    parser.add_argument("--case", choices=("perfect", "imperfect", "hostile", "quoting", "streams"), default="perfect")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true", help="leave llama-server out")
    parser.add_argument("--make", action="store_true", help="only make the files")
    arguments = parser.parse_args()
    files = make_files(arguments.model.resolve(), arguments.cache, arguments.type, arguments.case)
    if arguments.make:
        return
    automatic = DraftConfig(model=None if files.draft is None else str(files.draft))
    with (
        tempfile.TemporaryDirectory() as cache,
        loaded(files, Path(cache), DraftConfig(DraftMode.OFF)) as plain,
        loaded(files, Path(cache), automatic) as drafting,
    ):
        for number in range(arguments.rounds):
            for side in (plain, drafting):
                if arguments.case == "streams":
                    many_streams(side, number, arguments.tokens // 2)
                else:
                    one_stream(side, arguments.case, number, arguments.tokens)
    report(arguments.case, arguments.type, plain, drafting)
    if not arguments.no_peer and arguments.case in ("perfect", "imperfect"):
        speeds = peer_speeds(files, arguments.tokens, arguments.rounds)
        best = max(speeds.values())
        sys.stdout.write(f"  llama-server {', '.join(f'{n}: {speed:.1f}' for n, speed in speeds.items())}\n")
        sys.stdout.write(f"  of its best  {statistics.median(drafting.speeds) / best:.3f}\n")


def report(case: str, type_name: str, plain: Side, drafting: Side) -> None:
    without, with_drafts = statistics.median(plain.speeds), statistics.median(drafting.speeds)
    part = drafting.n_accepted / drafting.n_drafted if drafting.n_drafted else 0.0
    sys.stdout.write(
        f"{case} {type_name}\n"
        f"  without      {without:7.1f} tokens/s  ({', '.join(f'{speed:.1f}' for speed in plain.speeds)})\n"
        f"  drafting     {with_drafts:7.1f} tokens/s  ({', '.join(f'{speed:.1f}' for speed in drafting.speeds)})\n"
        f"  ratio        {with_drafts / without:7.3f}   drafted {drafting.n_drafted}, {part:.0%} held\n"
        f"  last         {drafting.last}\n"
    )


if __name__ == "__main__":
    main()
