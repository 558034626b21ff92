"""LoRA adapters in a real worker: they count as they should, and what they computed never mixes with anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.client import WorkerClient
from engine.config import CacheConfig, EngineConfig, LoadSpec
from engine.errors import ModelFileError
from engine.events import ModelLoaded, RequestFailed, RequestFinished
from engine.gguf import check_adapter, read_header
from engine.types import (
    AdapterUse,
    ChatMessage,
    FinishReason,
    GenerationRequest,
    RequestId,
    Role,
    SamplingParams,
)
from tests.doubles.gguf import RawTensor, Value, make_tiny_gguf
from tests.doubles.lora import make_merged_gguf, make_tiny_adapter
from tests.doubles.recorder import Recorder

GREEDY = SamplingParams(temperature=0.0)
QUESTION = "hello, hello " * 40


class Worker:
    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self.client, self.events, self._n_asked = WorkerClient(), Recorder(), 0
        self.client.subscribe(self.events)
        cache = CacheConfig(folder=None if folder is None else str(folder))
        self.client.load(LoadSpec(str(path), EngineConfig(n_ctx=1024, n_threads=1), cache))
        self.events.wait(ModelLoaded)

    def submit(self, *uses: AdapterUse, name: str | None = None, max_tokens: int = 12) -> RequestId:
        self._n_asked += 1
        request_id = RequestId(name or f"request-{self._n_asked}")
        message = ChatMessage(Role.USER, QUESTION)
        self.client.submit(
            GenerationRequest(request_id, (message,), GREEDY, max_tokens, conversation="c", adapters=uses)
        )
        return request_id

    def answer(self, *uses: AdapterUse) -> str:
        return self.text_of(self.submit(*uses))

    def text_of(self, request_id: RequestId) -> str:
        outcome = self.events.outcome(request_id)
        assert isinstance(outcome, RequestFinished), outcome
        return self.events.text(request_id)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def adapter(tmp_path: Path) -> str:
    return str(make_tiny_adapter(tmp_path / "adapter.gguf"))


@pytest.fixture
def worker(tiny: Path, tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tiny, tmp_path / "kv")
    yield worker
    worker.client.close()


def answer_of(path: Path) -> str:
    worker = Worker(path)
    try:
        return worker.answer()
    finally:
        worker.client.close()


def test_an_adapter_counts_as_if_it_were_in_the_weights(worker: Worker, adapter: str, tmp_path: Path) -> None:
    whole = answer_of(make_merged_gguf(tmp_path / "whole.gguf", 1.0))
    half = answer_of(make_merged_gguf(tmp_path / "half.gguf", 0.5))
    plain = worker.answer()
    assert len({whole, half, plain}) == 3
    assert worker.answer(AdapterUse(adapter)) == whole
    assert worker.answer(AdapterUse(adapter, 0.5)) == half
    assert worker.answer(AdapterUse(adapter, 0.0)) == plain
    assert worker.answer() == plain
    assert worker.answer(AdapterUse(adapter)) == whole


def test_those_with_different_adapters_wait_for_each_other(worker: Worker, adapter: str) -> None:
    """All asked at once, in turns: each gets what it would have got alone."""
    plain, adapted = worker.answer(), worker.answer(AdapterUse(adapter))
    ids = [worker.submit(*((AdapterUse(adapter),) if number % 2 else ())) for number in range(6)]
    assert [worker.text_of(request_id) for request_id in ids] == [plain, adapted] * 3


def test_an_adapter_that_does_not_fit_fails_its_request_alone(worker: Worker, tmp_path: Path, tiny: Path) -> None:
    wide = make_tiny_adapter(tmp_path / "wide.gguf", width=128)
    for path, says in (
        (wide, "does not go with this model"),
        (tiny, "is not an adapter"),
        (tmp_path / "no", "not there"),
    ):
        failure = worker.events.outcome(worker.submit(AdapterUse(str(path))))
        assert isinstance(failure, RequestFailed)
        assert says in failure.error.text
        assert failure.error.kind == "ModelFileError"
    assert worker.answer()


@pytest.mark.parametrize(
    ("metadata", "says"),
    [({"adapter.type": "ia3"}, "of the kind 'ia3'"), ({"adapter.lora.alpha": float("nan")}, "no number")],
)
def test_an_adapter_that_makes_no_sense_is_refused_before_llama_sees_it(
    tmp_path: Path, metadata: dict[str, Value], says: str
) -> None:
    with pytest.raises(ModelFileError, match=says):
        check_adapter(read_header(make_tiny_adapter(tmp_path / "odd.gguf", **metadata)))


def test_weights_that_ggml_cannot_multiply_are_refused_in_an_adapter(tmp_path: Path) -> None:
    tensors = {"blk.0.attn_q.weight.lora_a": RawTensor((64, 4), 26, bytes(1024))}
    path = make_tiny_gguf(tmp_path / "odd.gguf", metadata={"general.type": "adapter"}, tensors=tensors)
    with pytest.raises(ModelFileError, match="cannot have the type I32"):
        check_adapter(read_header(path))


def test_impossible_uses_are_refused(worker: Worker, adapter: str) -> None:
    twice = (AdapterUse(adapter), AdapterUse(adapter, 0.5))
    for uses in (twice, (AdapterUse(adapter, float("nan")),), (AdapterUse(adapter, 1e9),)):
        failure = worker.events.outcome(worker.submit(*uses))
        assert isinstance(failure, RequestFailed)
        assert failure.error.kind == "InvalidRequest"


def test_one_that_waits_for_its_turn_can_be_cancelled(worker: Worker, adapter: str) -> None:
    first = worker.submit(max_tokens=200)
    second = worker.submit(AdapterUse(adapter))
    worker.client.cancel(second)
    outcome = worker.events.outcome(second)
    assert isinstance(outcome, RequestFinished)
    assert outcome.reason is FinishReason.CANCELLED
    assert isinstance(worker.events.outcome(first), RequestFinished)
