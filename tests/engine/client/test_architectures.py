"""Models whose cache is not like the others' are remembered as far as they can be, and answer the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.client import WorkerClient
from engine.config import CacheConfig, EngineConfig, LoadSpec
from engine.events import ModelLoaded, RequestFinished
from engine.reuse import Reason
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams
from tests.doubles.architectures import make_tiny_gemma, make_tiny_mamba
from tests.doubles.recorder import Recorder

LONG = "hello hell he " * 60


class Talk:
    """A client with a model, and questions to it."""

    def __init__(self, path: Path, ram_bytes: int = 1 << 28) -> None:
        self.client, self.events = WorkerClient(), Recorder()
        self.client.subscribe(self.events)
        config = EngineConfig(n_ctx=2048, n_threads=1, n_ubatch=128)
        self.client.load(LoadSpec(str(path), config, CacheConfig(ram_bytes=ram_bytes)))
        self.info = self.events.wait(ModelLoaded).info

    def ask(self, name: str, conversation: str, *texts: str) -> tuple[str, RequestFinished]:
        roles = (Role.USER, Role.ASSISTANT)
        messages = tuple(ChatMessage(roles[index % 2], text) for index, text in enumerate(texts))
        request = GenerationRequest(
            RequestId(name), messages, SamplingParams(temperature=0.0), 12, conversation=conversation
        )
        self.client.submit(request)
        outcome = self.events.outcome(request.id)
        assert isinstance(outcome, RequestFinished), outcome
        return self.events.text(request.id), outcome


@pytest.fixture(params=[make_tiny_mamba, make_tiny_gemma], ids=["recurrent", "sliding window"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make: Callable[[Path], Path] = request.param
    return make(tmp_path / "tiny.gguf")


def test_what_is_remembered_changes_no_answer(path: Path) -> None:
    fresh, talk = Talk(path), Talk(path)
    first, _ = talk.ask("1", "a", LONG)
    for number in range(6):
        talk.ask(f"other {number}", f"o{number}", f"{number} " + LONG)
    back, outcome = talk.ask("2", "a", LONG, first, "he")
    expected, _ = fresh.ask("2", "a", LONG, first, "he")
    fresh.client.close()
    talk.client.close()

    assert back == expected
    assert outcome.reuse is not None
    n_cheaper = dict(outcome.reuse.reasons).get(Reason.CHEAPER_TO_COMPUTE, 0)
    assert outcome.reuse.n_prompt - outcome.reuse.n_new + n_cheaper >= 256


def test_a_recurrent_model_says_that_it_is_kept_whole(tmp_path: Path) -> None:
    talk = Talk(make_tiny_mamba(tmp_path / "mamba.gguf"))
    talk.ask("1", "a", LONG)
    _, edited = talk.ask("2", "a", LONG[: len(LONG) // 2] + "something else")
    talk.client.close()

    assert not talk.info.can_cut_cache
    assert edited.reuse is not None
    assert Reason.NOT_CUTTABLE in dict(edited.reuse.reasons)


def test_a_sliding_window_model_is_kept_in_pages(tmp_path: Path) -> None:
    talk = Talk(make_tiny_gemma(tmp_path / "gemma.gguf"))
    talk.ask("1", "a", LONG + "one")
    _, other = talk.ask("2", "b", LONG + "two")
    talk.client.close()

    assert talk.info.can_cut_cache
    assert other.usage.n_cached >= 256
