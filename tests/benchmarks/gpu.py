"""What Hearth makes of a GPU, against llama.cpp's own tools on the same files, as a Markdown table.

    python -m tests.benchmarks.gpu --model-1b FILE.gguf --model-8b FILE.gguf [--tools FOLDER] [--quick]

- one stream: tokens/s as a client of the worker sees them, greedy and sampled, against llama-bench.
- many streams: tokens/s of all together, prompts included, drawn on the device and on the host, against llama-server;
  and while all of them decode, against llama-batched-bench, which draws nothing.
- coming back: time to the first token of a long conversation that is new, that left the cells for RAM, and that is on
  disk after the worker was started anew. The system's file cache stays warm.

Without ``--tools`` the tools are where ``peers.py`` looks. A case that fails gives its reason and the others go on;
what is not begun within the time limit is left out. ``--quick`` is for trying it with a tiny model.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from engine.client import WorkerClient
from engine.config import CacheConfig, EngineConfig, LoadSpec
from engine.events import (
    CacheChanged,
    EngineFailed,
    Event,
    LoadFailed,
    ModelLoaded,
    RequestFailed,
    RequestFinished,
    TokensEmitted,
)
from engine.reuse import ReuseReport
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams
from tests.benchmarks.http_chat import chat
from tests.benchmarks.peers import llama_bench, peer_tools
from tests.benchmarks.servers import llama_server
from tests.benchmarks.texts import words

GREEDY = SamplingParams(temperature=0.0)
N_THREADS = max(1, min(8, (os.cpu_count() or 2) // 2))
LOAD_TIMEOUT_S = 90.0
WAIT_TIMEOUT_S = 60.0
QUIET_S = 1.5
"""The cache has settled when it reports nothing for so long; while it changes, it reports twice a second."""
SETTLE_TIMEOUT_S = 10.0
OFFLOAD = ("-ngl", "99")
FAILURES = (
    ArithmeticError,
    AssertionError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
    http.client.HTTPException,
    statistics.StatisticsError,
    subprocess.SubprocessError,
)
"""What can go wrong in one case without harm to the others."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workload:
    """``n_long`` is the length of a conversation to come back to, in words, which are about a token each."""

    n_tokens: int = 128
    n_streams: int = 16
    n_rounds: int = 3
    n_prompt_words: int = 20
    n_long: int = 4096
    n_cells_of_long: int = 4608
    n_cells_of_streams: int = 8192


QUICK = Workload(n_tokens=8, n_streams=4, n_rounds=2, n_long=600, n_cells_of_long=768, n_cells_of_streams=2048)


@dataclass(frozen=True, slots=True)
class Case:
    """What every measurement needs."""

    name: str
    model: Path
    work: Workload
    tools: Path
    environment: dict[str, str]

    def row(self, what: str, value: str, other: str = "", ratio: float | None = None, note: str = "") -> None:
        """Written at once, so that nothing is lost when a later case does not end."""
        cells = (self.name, what, value, other, "" if ratio is None else f"{ratio:.3f}", note)
        sys.stdout.write("| " + " | ".join(cells) + " |\n")
        sys.stdout.flush()


@dataclass(slots=True)
class Answer:
    """Seen from the client, in seconds of its clock. ``arrivals`` pairs times with the tokens made until then."""

    submitted_s: float
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    ended_s: float = 0.0
    outcome: RequestFinished | RequestFailed | None = None

    @property
    def finished(self) -> RequestFinished:
        if not isinstance(self.outcome, RequestFinished):
            raise RuntimeError(f"an answer failed: {self.outcome}")
        return self.outcome

    @property
    def n_output(self) -> int:
        return self.finished.usage.n_output

    @property
    def first_token_s(self) -> float:
        return self.arrivals[0][0] - self.submitted_s

    @property
    def tokens_per_s(self) -> float:
        """After the first ones that were seen."""
        seen_s, n_seen = self.arrivals[0]
        return (self.n_output - n_seen) / (self.ended_s - seen_s)

    def n_until(self, time_s: float) -> int:
        return max((n_tokens for arrived_s, n_tokens in self.arrivals if arrived_s <= time_s), default=0)


class Session:
    """A loaded worker and what it said. Thread: the caller's; events come in on the client's."""

    def __init__(self, client: WorkerClient) -> None:
        self.client = client
        self._answers: dict[RequestId, Answer] = {}
        self._problem: Event | None = None
        self._is_loaded = False
        self._n_cache_changes = 0
        self._numbers = itertools.count()
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        now_s = time.perf_counter()
        with self._changed:
            self._take(event, now_s)
            self._changed.notify_all()

    def load(self, spec: LoadSpec) -> None:
        self.client.load(spec)
        self._wait(lambda: self._is_loaded, LOAD_TIMEOUT_S, "the model to load")

    def ask(self, messages: Sequence[ChatMessage], sampling: SamplingParams, n_tokens: int) -> Answer:
        return self.ask_together([messages], sampling, n_tokens)[0]

    def ask_together(
        self, prompts: Sequence[Sequence[ChatMessage]], sampling: SamplingParams, n_tokens: int
    ) -> list[Answer]:
        """All at once; returns when the last one has ended."""
        answers = []
        for messages in prompts:
            request_id = RequestId(f"request-{next(self._numbers)}")
            answers.append(Answer(time.perf_counter()))
            with self._changed:
                self._answers[request_id] = answers[-1]
            self.client.submit(GenerationRequest(request_id, tuple(messages), sampling, n_tokens))
        self._wait(lambda: all(answer.outcome for answer in answers), WAIT_TIMEOUT_S, "the answers")
        if any(answer.n_output < n_tokens // 2 or not answer.arrivals for answer in answers):
            raise RuntimeError(f"an answer ended too soon: {[answer.finished.reason for answer in answers]}")
        return answers

    def settle(self) -> None:
        """Let the cache write behind, as it does between a person's questions."""
        deadline_s = time.perf_counter() + SETTLE_TIMEOUT_S
        with self._changed:
            while time.perf_counter() < deadline_s:
                has_changed = partial(self._has_changed_since, self._n_cache_changes)
                if not self._changed.wait_for(has_changed, QUIET_S):
                    return

    def _take(self, event: Event, now_s: float) -> None:
        match event:
            case ModelLoaded():
                self._is_loaded = True
            case LoadFailed() | EngineFailed():
                self._problem = event
            case CacheChanged():
                self._n_cache_changes += 1
            case TokensEmitted(request_id):
                self._answers[request_id].arrivals.append((now_s, event.n_tokens))
            case RequestFinished(request_id) | RequestFailed(request_id):
                self._answers[request_id].outcome = event
                self._answers[request_id].ended_s = now_s

    def _has_changed_since(self, n_cache_changes: int) -> bool:
        return self._n_cache_changes > n_cache_changes

    def _wait(self, is_done: Callable[[], bool], timeout_s: float, what: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: is_done() or self._problem is not None, timeout_s)
            if self._problem is not None:
                raise RuntimeError(f"the engine failed: {self._problem}")
            if not is_done():
                raise RuntimeError(f"waited {timeout_s:.0f} s for {what}")


@contextlib.contextmanager
def loaded(case: Case, config: EngineConfig, cache: CacheConfig | None = None) -> Iterator[Session]:
    client = WorkerClient()
    session = Session(client)
    client.subscribe(session)
    try:
        session.load(LoadSpec(str(case.model), config, cache or CacheConfig()))
        yield session
    finally:
        client.close()


def sampled(seed: int) -> SamplingParams:
    return SamplingParams(temperature=0.8, top_k=40, top_p=0.95, min_p=0.0, seed=seed)


def question(case: Case, number: int) -> tuple[ChatMessage, ...]:
    return (ChatMessage(Role.USER, words(case.work.n_prompt_words, number)),)


def one_stream(case: Case) -> None:
    work, speeds = case.work, dict[str, float]()
    with loaded(case, EngineConfig(n_ctx=2048, n_parallel=1)) as session:
        for name, sampling in (("greedy", GREEDY), ("top-k, top-p, temperature", sampled(1))):
            session.ask(question(case, 0), sampling, work.n_tokens)
            rounds = range(1, work.n_rounds + 1)
            answers = [session.ask(question(case, number), sampling, work.n_tokens) for number in rounds]
            speeds[name] = statistics.median(answer.tokens_per_s for answer in answers)
    options = ("-r", str(work.n_rounds), *OFFLOAD)
    bench = statistics.median(llama_bench(case.tools, case.environment, case.model, N_THREADS, work.n_tokens, *options))
    for name, speed in speeds.items():
        case.row(f"1 stream, {name}", f"{speed:.1f} t/s", f"llama-bench {bench:.1f} t/s", speed / bench)


@dataclass(frozen=True, slots=True)
class Together:
    """Tokens/s of all streams: ``overall`` with prompts in the time, ``decoding`` while all of them decode."""

    overall: float
    decoding: float


def streams_of_hearth(case: Case, device_sampling: bool | None) -> Together:
    work, results = case.work, list[Together]()
    config = EngineConfig(n_ctx=work.n_cells_of_streams, n_parallel=work.n_streams, device_sampling=device_sampling)
    with loaded(case, config) as session:
        for number in range(work.n_rounds + 1):
            prompts = [question(case, 100 * number + stream) for stream in range(work.n_streams)]
            answers = session.ask_together(prompts, sampled(number), work.n_tokens)
            results.append(_together(answers))
    return _median(results[1:])


def _together(answers: Sequence[Answer]) -> Together:
    n_tokens = sum(answer.n_output for answer in answers)
    overall_s = max(answer.ended_s for answer in answers) - min(answer.submitted_s for answer in answers)
    begin_s = max(answer.arrivals[0][0] for answer in answers)
    end_s = min(answer.ended_s for answer in answers)
    n_decoded = sum(answer.n_until(end_s) - answer.n_until(begin_s) for answer in answers)
    return Together(n_tokens / overall_s, n_decoded / (end_s - begin_s))


def _median(results: Sequence[Together]) -> Together:
    return Together(
        statistics.median(result.overall for result in results),
        statistics.median(result.decoding for result in results),
    )


def streams_of_llama_server(case: Case, *, on_device: bool) -> float:
    work, speeds = case.work, list[float]()
    options: dict[str, object] = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.0}
    options |= {"samplers": ["top_k", "top_p", "temperature"], "backend_sampling": on_device}
    arguments = ("-t", str(N_THREADS), *OFFLOAD, *(("-bs",) if on_device else ()))
    n_cells, n_streams = work.n_cells_of_streams, work.n_streams
    with (
        llama_server(case.tools, case.environment, case.model, n_cells, n_streams, *arguments) as port,
        ThreadPoolExecutor(n_streams) as pool,
    ):
        for number in range(work.n_rounds + 1):
            prompts = [words(work.n_prompt_words, 100 * number + stream) for stream in range(n_streams)]
            messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
            started_s = time.perf_counter()
            asked = [pool.submit(chat, port, each, work.n_tokens, seed=number, **options) for each in messages]
            n_output = sum(reply.result().n_output for reply in asked)
            speeds.append(n_output / (time.perf_counter() - started_s))
    return statistics.median(speeds[1:])


def streams_of_batched_bench(case: Case) -> float:
    """Tokens/s of all streams together while they decode; nothing is drawn."""
    work = case.work
    rounds = ",".join([str(work.n_streams)] * (work.n_rounds + 1))
    shape = ("-c", str(work.n_cells_of_streams), "-npp", "32", "-ntg", str(work.n_tokens), "-npl", rounds)
    options = (*shape, "-t", str(N_THREADS), *OFFLOAD, "--output-format", "jsonl")
    finished = subprocess.run(
        [str(case.tools / "llama-batched-bench"), "-m", str(case.model), *options],
        env={**os.environ, **case.environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=LOAD_TIMEOUT_S,
    )
    lines = [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{")]
    return statistics.median(float(line["speed_tg"]) for line in lines[1:])


def many_streams(case: Case) -> None:
    what = f"{case.work.n_streams} streams"
    ours = {
        f"{what}, drawn on the device": attempt(case, what, partial(streams_of_hearth, case, True)),
        f"{what}, drawn on the host": attempt(case, what, partial(streams_of_hearth, case, False)),
    }
    peers = {
        "llama-server": attempt(case, "llama-server", partial(streams_of_llama_server, case, on_device=False)),
        "llama-server -bs": attempt(case, "llama-server -bs", partial(streams_of_llama_server, case, on_device=True)),
    }
    bench = None
    if (case.tools / "llama-batched-bench").is_file():
        bench = attempt(case, "llama-batched-bench", partial(streams_of_batched_bench, case))
    for name, result in ours.items():
        if result is not None:
            for peer, speed in peers.items():
                _compare(case, f"{name}, prompts included", result.overall, peer, speed)
            _compare(case, f"{name}, decode alone", result.decoding, "llama-batched-bench", bench)


def _compare(case: Case, what: str, ours: float, peer: str, theirs: float | None) -> None:
    if theirs is None:
        case.row(what, f"{ours:.1f} t/s")
    else:
        case.row(what, f"{ours:.1f} t/s", f"{peer} {theirs:.1f} t/s", ours / theirs)


def coming_back(case: Case) -> None:
    """Each conversation pushes the one before it out of the cells, which hold little more than one."""
    config = EngineConfig(n_ctx=case.work.n_cells_of_long, n_parallel=1)
    rounds = range(1, case.work.n_rounds + 1)
    with tempfile.TemporaryDirectory() as folder:
        cache = CacheConfig(ram_bytes=4 << 30, disk_bytes=16 << 30, folder=folder)
        with loaded(case, config, cache) as session:
            _ask_and_settle(session, _long(case, 0))
            cold = [_ask_and_settle(session, _long(case, number)) for number in rounds]
            back = [_ask_and_settle(session, _follow_up(case, number, "And then?")) for number in rounds]
        with loaded(case, config, cache) as session:
            _ask_and_settle(session, question(case, 0))
            again = [_ask_and_settle(session, _follow_up(case, number, "And before?")) for number in rounds]
    what = f"{case.work.n_long:,} tokens, first token"
    cold_s = _median_first_token(cold)
    case.row(f"{what}, new", f"{1e3 * cold_s:.1f} ms", note=_origins(cold))
    for name, answers in (("back from RAM", back), ("back after a restart", again)):
        seconds = _median_first_token(answers)
        values = f"{1e3 * seconds:.1f} ms", f"new {1e3 * cold_s:.1f} ms"
        case.row(f"{what}, {name}", *values, seconds / cold_s, _origins(answers))


def _long(case: Case, number: int) -> tuple[ChatMessage, ...]:
    n_around = 40  # what the template adds
    return (ChatMessage(Role.USER, words(case.work.n_long - n_around, 1000 + number)),)


def _follow_up(case: Case, number: int, text: str) -> tuple[ChatMessage, ...]:
    return (*_long(case, number), ChatMessage(Role.ASSISTANT, "Yes."), ChatMessage(Role.USER, text))


def _ask_and_settle(session: Session, messages: Sequence[ChatMessage]) -> Answer:
    answer = session.ask(messages, GREEDY, 8)
    session.settle()
    return answer


def _median_first_token(answers: Sequence[Answer]) -> float:
    return statistics.median(answer.first_token_s for answer in answers)


def _origins(answers: Sequence[Answer]) -> str:
    """Where the prompts' tokens came from, as the engine reports it."""
    reports = [answer.finished.reuse for answer in answers]
    counts = "; ".join(_counts(report) for report in reports if report is not None)
    return f"tokens from cells/RAM/disk/new: {counts}"


def _counts(report: ReuseReport) -> str:
    counts = f"{report.n_cells}/{report.n_ram}/{report.n_disk}/{report.n_new}"
    return f"{counts} in {1e3 * report.restore_s:.1f} ms" if report.restore_s else counts


def attempt(case: Case, what: str, measure: Callable[[], T]) -> T | None:
    """What was measured, or None, and then the reason is in the table."""
    try:
        return measure()
    except FAILURES as error:
        lines = (error.stderr or "").splitlines() if isinstance(error, subprocess.CalledProcessError) else []
        reason = " ".join([f"{type(error).__name__}: {error}", *lines[-2:]])
        case.row(what, "failed", note=reason.replace("\n", " ").replace("|", "/")[:600])
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-1b", type=Path)
    parser.add_argument("--model-8b", type=Path)
    parser.add_argument("--tools", type=Path)
    parser.add_argument("--limit-s", type=float, default=330.0)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    deadline_s = time.monotonic() + arguments.limit_s
    work = QUICK if arguments.quick else Workload()
    sys.stdout.write("| model | case | Hearth | against | ratio | note |\n| --- | --- | --- | --- | --- | --- |\n")
    with peer_tools(arguments.tools) as (folder, environment):
        for name, model in (("1B", arguments.model_1b), ("8B", arguments.model_8b)):
            if model is not None:
                measure_model(Case(name, model.resolve(), work, folder, environment), deadline_s)


def measure_model(case: Case, deadline_s: float) -> None:
    for what, measure in (("1 stream", one_stream), ("streams", many_streams), ("coming back", coming_back)):
        if time.monotonic() > deadline_s:
            case.row(what, "left out", note="the time was up")
            continue
        started_s = time.monotonic()
        attempt(case, what, partial(measure, case))
        case.row(what, "", note=f"measured in {time.monotonic() - started_s:.0f} s")


if __name__ == "__main__":
    main()
