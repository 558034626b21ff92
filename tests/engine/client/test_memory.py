"""Nothing is read twice: what a real worker remembers, across requests, deaths and restarts."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.client import WorkerClient
from engine.config import CacheConfig, EngineConfig, LoadSpec
from engine.events import CacheChanged, EngineFailed, ModelLoaded, PromptMeasured, RequestFinished, RequestStarted
from engine.reuse import Reason
from engine.types import ChatMessage, GenerationRequest, Overflow, RequestId, Role, SamplingParams
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.recorder import Recorder

N_CTX = 2048
LONG = "hello hell he " * 60  # some 500 tokens of the tiny vocabulary


@pytest.fixture
def spec(tmp_path: Path) -> LoadSpec:
    model = make_tiny_gguf(tmp_path / "tiny.gguf")
    cache = CacheConfig(ram_bytes=1 << 26, disk_bytes=1 << 26, folder=str(tmp_path / "kv"))
    return LoadSpec(str(model), EngineConfig(n_ctx=N_CTX, n_threads=1), cache)


@pytest.fixture
def client() -> Iterator[WorkerClient]:
    client = WorkerClient()
    yield client
    client.close()


@pytest.fixture
def events(client: WorkerClient, spec: LoadSpec) -> Recorder:
    recorder = Recorder()
    client.subscribe(recorder)
    client.load(spec)
    recorder.wait(ModelLoaded)
    return recorder


def ask(client: WorkerClient, events: Recorder, name: str, conversation: str, *texts: str) -> RequestFinished:
    """``texts`` take turns, the user's first."""
    roles = (Role.USER, Role.ASSISTANT)
    messages = tuple(ChatMessage(roles[index % 2], text) for index, text in enumerate(texts))
    request = GenerationRequest(
        RequestId(name), messages, SamplingParams(temperature=0.0), 4, conversation=conversation
    )
    client.submit(request)
    outcome = events.outcome(request.id)
    assert isinstance(outcome, RequestFinished)
    return outcome


def n_remembered(outcome: RequestFinished) -> tuple[int, int, int]:
    assert outcome.reuse is not None
    return outcome.reuse.n_cells, outcome.reuse.n_ram, outcome.reuse.n_disk


def came_back(outcome: RequestFinished, n_tokens: int = 256) -> bool:
    """It was remembered, or it could have been: the tiny model computes so fast that this may win over fetching."""
    assert outcome.reuse is not None
    return sum(n_remembered(outcome)) + dict(outcome.reuse.reasons).get(Reason.CHEAPER_TO_COMPUTE, 0) >= n_tokens


def kept_on_disk(events: Recorder, conversation: str, n_tokens: int) -> CacheChanged:
    return events.wait(
        CacheChanged,
        lambda change: any(
            c.id == conversation and c.n_tokens - c.n_cold >= n_tokens and c.disk_bytes > 0
            for c in change.conversations
        ),
    )


def test_a_conversation_that_goes_on_is_found_in_the_cells(client: WorkerClient, events: Recorder) -> None:
    first = ask(client, events, "1", "a", LONG)
    second = ask(client, events, "2", "a", LONG, events.text(RequestId("1")), "he")

    assert n_remembered(first) == (0, 0, 0)
    n_cells, n_ram, n_disk = n_remembered(second)
    assert n_cells >= first.usage.n_prompt
    assert (n_ram, n_disk) == (0, 0)


def test_two_conversations_that_begin_alike_share_what_was_read(client: WorkerClient, events: Recorder) -> None:
    ask(client, events, "1", "a", LONG + "one")
    other = ask(client, events, "2", "b", LONG + "two")

    assert n_remembered(other)[0] >= 256


def test_a_conversation_that_made_room_for_many_others_is_not_read_again(
    client: WorkerClient, events: Recorder
) -> None:
    ask(client, events, "1", "a", LONG)
    for number in range(14):
        ask(client, events, f"other {number}", f"o{number}", f"{number} " + LONG)
    back = ask(client, events, "2", "a", LONG, events.text(RequestId("1")), "he")

    assert came_back(back)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_what_was_read_survives_the_death_of_the_worker(client: WorkerClient, events: Recorder) -> None:
    first = ask(client, events, "1", "a", LONG)
    kept_on_disk(events, "a", 256)
    assert client.worker_pid is not None
    os.kill(client.worker_pid, signal.SIGKILL)
    events.wait(EngineFailed)
    events.wait(ModelLoaded, lambda _: len(events.of(ModelLoaded)) == 2)
    kept_on_disk(events, "a", 256)

    again = ask(client, events, "2", "a", LONG)

    assert came_back(again)
    assert again.usage.n_prompt == first.usage.n_prompt
    assert events.text(RequestId("2")) == events.text(RequestId("1"))


def test_an_orderly_end_saves_what_was_read_last(client: WorkerClient, events: Recorder, spec: LoadSpec) -> None:
    ask(client, events, "1", "a", LONG)
    client.load(spec)  # at once: nothing was idle long enough to be written behind
    events.wait(ModelLoaded, lambda _: len(events.of(ModelLoaded)) == 2)
    kept_on_disk(events, "a", 256)

    again = ask(client, events, "2", "a", LONG)

    assert came_back(again)


def test_a_dropped_conversation_is_read_again(client: WorkerClient, events: Recorder) -> None:
    ask(client, events, "1", "a", LONG)
    client.drop("a")
    again = ask(client, events, "2", "a", LONG)

    assert n_remembered(again) == (0, 0, 0)


def test_what_is_typed_is_read_before_it_is_sent(client: WorkerClient, events: Recorder) -> None:
    client.read_ahead("a", (ChatMessage(Role.USER, LONG),))
    measured = events.wait(PromptMeasured)
    events.wait(CacheChanged, lambda change: change.usage.cells_used >= measured.n_tokens - 1)

    outcome = ask(client, events, "1", "a", LONG + "!")

    assert measured.n_ctx == N_CTX
    assert n_remembered(outcome)[0] >= measured.n_tokens - 16


def test_eight_requests_at_once_are_all_answered(client: WorkerClient, events: Recorder) -> None:
    for number in range(8):
        messages = (ChatMessage(Role.USER, f"hello {number}"),)
        client.submit(GenerationRequest(RequestId(str(number)), messages, SamplingParams(temperature=0.0), 20))

    outcomes = [events.outcome(RequestId(str(number))) for number in range(8)]

    assert all(isinstance(outcome, RequestFinished) for outcome in outcomes)
    starts = [event for event in events.events if isinstance(event, RequestStarted | RequestFinished)]
    assert sum(isinstance(event, RequestStarted) for event in starts[:8]) > 1  # they overlap


def test_a_conversation_too_long_rolls_and_says_how_much_it_left_out(client: WorkerClient, events: Recorder) -> None:
    turns = [
        ChatMessage(role, f"{number} " + "hello " * 80) for number in range(12) for role in (Role.USER, Role.ASSISTANT)
    ]
    messages = (*turns, ChatMessage(Role.USER, "he"))
    client.submit(
        GenerationRequest(RequestId("1"), messages, SamplingParams(temperature=0.0), 4, overflow=Overflow.ROLL)
    )

    assert isinstance(events.outcome(RequestId("1")), RequestFinished)
    (started,) = events.of(RequestStarted)
    assert started.n_dropped > 0
    assert started.n_prompt <= N_CTX
