"""Memory that runs out is an event: the next smaller way is tried, and what was asked is answered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.client import WorkerClient
from engine.client.memory import Shrunk, ran_out_of_memory
from engine.config import EngineConfig, LoadSpec
from engine.events import EngineFailed, LoadFailed, ModelLoaded, PlanReduced, RequestFailed, RequestFinished
from engine.types import ChatMessage, GenerationRequest, RequestId, Role
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.recorder import Recorder

REQUEST = GenerationRequest(RequestId("message-1"), (ChatMessage(Role.USER, "Are you there?"),))


def ten_layers_less(spec: LoadSpec) -> Shrunk | None:
    n_layers = (spec.config.n_gpu_layers or 0) - 10
    if n_layers < 0:
        return None
    smaller = replace(spec, config=replace(spec.config, n_gpu_layers=n_layers))
    return Shrunk(smaller, f"{n_layers} layers stay on the GPU.")


class World:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = Recorder()
        self.clients: list[WorkerClient] = []

    def load(
        self, n_gpu_layers: int, shrink: Callable[[LoadSpec], Shrunk | None] | None = ten_layers_less
    ) -> WorkerClient:
        client = WorkerClient(shrink)
        self.clients.append(client)
        client.subscribe(self.events)
        client.load(LoadSpec(str(self.path), EngineConfig(n_gpu_layers=n_gpu_layers)))
        return client

    @property
    def sentences(self) -> list[str]:
        return [event.sentence for event in self.events.of(PlanReduced)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    command = [sys.executable, "-P", "-m", "tests.doubles.scarce_worker"]
    monkeypatch.setattr("engine.client.process.worker_command", lambda: command)
    made = World(make_tiny_gguf(tmp_path / "tiny.gguf"))
    yield made
    for client in made.clients:
        client.close()


def test_a_model_that_does_not_load_is_loaded_with_less_and_what_was_asked_meanwhile_is_answered(world: World) -> None:
    client = world.load(n_gpu_layers=30)
    client.submit(REQUEST)

    assert isinstance(world.events.outcome(REQUEST.id), RequestFinished)
    assert world.events.text(REQUEST.id) == "Yes."
    assert world.sentences == ["20 layers stay on the GPU.", "10 layers stay on the GPU."]
    assert not world.events.of(LoadFailed)


def test_a_worker_that_dies_of_it_in_mid_question_is_replaced_and_the_question_is_answered(world: World) -> None:
    client = world.load(n_gpu_layers=20)
    world.events.wait(ModelLoaded)
    client.submit(REQUEST)

    assert isinstance(world.events.outcome(REQUEST.id), RequestFinished)
    assert world.sentences == ["10 layers stay on the GPU."]
    assert not world.events.of(EngineFailed)


def test_where_nothing_smaller_is_left_the_load_fails_and_so_does_what_waits(world: World) -> None:
    client = world.load(n_gpu_layers=30, shrink=lambda spec: None)
    client.submit(REQUEST)

    outcome = world.events.outcome(REQUEST.id)
    assert isinstance(outcome, RequestFailed)
    assert outcome.error.kind == "OutOfMemory"
    assert world.events.wait(LoadFailed).error.kind == "OutOfMemory"


def test_without_anybody_who_knows_a_smaller_way_it_is_a_failure_as_any_other(world: World) -> None:
    world.load(n_gpu_layers=30, shrink=None)

    assert world.events.wait(LoadFailed).error.kind == "OutOfMemory"


def test_another_model_that_is_asked_for_meanwhile_is_not_replaced_by_the_smaller_one(world: World) -> None:
    clients: list[WorkerClient] = []

    def shrink(spec: LoadSpec) -> Shrunk | None:
        clients[0].load(LoadSpec(str(world.path), EngineConfig(n_ctx=512)))
        world.events.wait(ModelLoaded)
        return ten_layers_less(spec)

    clients.append(world.load(n_gpu_layers=30, shrink=shrink))
    world.events.wait(ModelLoaded)
    clients[0].submit(REQUEST)

    assert isinstance(world.events.outcome(REQUEST.id), RequestFinished)
    assert world.sentences == []


@pytest.mark.parametrize(
    ("last_words", "did"),
    [
        ("HEARTH-ABORT ggml-cuda.cu:98: CUDA error\n  cudaMalloc failed: out of memory", True),
        ("terminate called after throwing vk::OutOfDeviceMemoryError\nErrorOutOfDeviceMemory", True),
        ("ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 1048576", True),
        ("out of memory\n" + "something else\n" * 20, False),
        ("HEARTH-ABORT GGML_ASSERT(n > 0) failed", False),
        ("", False),
    ],
)
def test_last_words_tell_whether_memory_ran_out(last_words: str, did: bool) -> None:
    assert ran_out_of_memory(last_words) is did
