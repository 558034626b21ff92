"""Embeddings and counts through the worker process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.client import WorkerClient
from engine.config import EngineConfig, LoadSpec
from engine.events import Embedded, ModelLoaded, PromptCounted, RequestFailed, RequestFinished, RequestStarted
from engine.types import ChatMessage, EmbeddingRequest, GenerationRequest, RequestId, Role, SamplingParams
from tests.doubles.architectures import make_tiny_bert
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.recorder import Recorder

CONFIG = EngineConfig(n_ctx=2048, n_threads=1, n_ubatch=128)


@contextmanager
def opened(path: Path) -> Iterator[tuple[WorkerClient, Recorder]]:
    client, events = WorkerClient(), Recorder()
    client.subscribe(events)
    client.load(LoadSpec(str(path), CONFIG))
    events.wait(ModelLoaded)
    try:
        yield client, events
    finally:
        client.close()


def question(name: str, n_tokens: int = 12) -> GenerationRequest:
    messages = (ChatMessage(Role.USER, "hello hell he " * 20),)
    return GenerationRequest(RequestId(name), messages, SamplingParams(temperature=0.0), n_tokens)


def embedded(events: Recorder, name: str) -> Embedded:
    return events.wait(Embedded, lambda event: event.request_id == name)


def test_an_answer_is_the_same_while_texts_are_embedded(tmp_path: Path) -> None:
    path = make_tiny_gguf(tmp_path / "tiny.gguf")
    with opened(path) as (client, events):
        client.submit(question("alone", 60))
        events.outcome(RequestId("alone"))
        alone = events.text(RequestId("alone"))
    with opened(path) as (client, events):
        client.embed(EmbeddingRequest(RequestId("texts"), ("hello " * 50,) * 40))
        client.submit(question("beside", 60))
        assert isinstance(events.outcome(RequestId("beside")), RequestFinished)
        many = embedded(events, "texts")
        client.embed(EmbeddingRequest(RequestId("one"), ("hello " * 50,)))
        one = embedded(events, "one")
        beside = events.text(RequestId("beside"))

    assert beside == alone
    assert len(many.vectors) == 40
    assert len(one.vectors[0]) == 4 * 64


def test_an_encoder_embeds_and_says_that_it_cannot_chat(tmp_path: Path) -> None:
    with opened(make_tiny_bert(tmp_path / "bert.gguf").path) as (client, events):
        client.submit(question("chat"))
        refusal = events.outcome(RequestId("chat"))
        for name, text in (("a", "the cat sat"), ("b", "the cat sat"), ("c", "rates rose")):
            client.embed(EmbeddingRequest(RequestId(name), (text,)))
            embedded(events, name)
        first, second, other = (embedded(events, name).vectors for name in "abc")

    assert isinstance(refusal, RequestFailed)
    assert "makes embeddings, it cannot chat" in refusal.error.text
    assert first == second != other


def test_a_cancelled_embedding_fails_and_the_next_one_does_not(tmp_path: Path) -> None:
    with opened(make_tiny_gguf(tmp_path / "tiny.gguf")) as (client, events):
        client.embed(EmbeddingRequest(RequestId("long"), (tuple([5] * 2000),) * 500))
        client.cancel(RequestId("long"))
        failed = events.wait(RequestFailed)
        client.embed(EmbeddingRequest(RequestId("short"), ("hello",)))
        embedded(events, "short")

    assert (failed.request_id, failed.error.kind) == ("long", "Cancelled")


def test_a_count_is_what_the_answer_then_reads(tmp_path: Path) -> None:
    with opened(make_tiny_gguf(tmp_path / "tiny.gguf")) as (client, events):
        client.count(question("count"))
        counted = events.wait(PromptCounted)
        client.submit(question("answer"))
        started = events.wait(RequestStarted)
        events.outcome(RequestId("answer"))

    assert (counted.request_id, counted.n_tokens) == ("count", started.n_prompt)
