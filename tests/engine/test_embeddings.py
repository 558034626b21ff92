"""The queue of embedding requests, with a scripted model."""

from __future__ import annotations

import struct

import pytest

from engine.backend.fake import START, FakeBackend, FakeEmbedder
from engine.errors import EngineStopped, ErrorInfo
from engine.events import Embedded, Event, RequestFailed
from engine.types import EmbeddingRequest, RequestId
from engine.worker.embeddings import KEEP_S, MAX_INPUTS, MAX_QUEUED, Embeddings

Input = str | tuple[int, ...]


class Queue:
    """Embeddings over a scripted model, with a clock that a test moves. A step takes ``step_s``."""

    def __init__(self, embedder: FakeEmbedder | None = None) -> None:
        self.now_s = self.step_s = 0.0
        self.backend = FakeBackend(embedder=embedder or FakeEmbedder())
        self.embedder = self.backend.embedder
        self.embeddings = Embeddings(self.backend, self._clock)

    def _clock(self) -> float:
        self.now_s += self.step_s
        return self.now_s

    def add(self, name: str, *inputs: Input) -> list[Event]:
        return self.embeddings.add(EmbeddingRequest(RequestId(name), inputs))

    def run(self) -> list[Event]:
        events: list[Event] = []
        while self.embeddings.has_work:
            events += self.embeddings.step()
        return events

    def refusal(self, *inputs: Input) -> str:
        """Why a request is not served."""
        (event,) = self.add("refused", *inputs) or self.run()
        assert isinstance(event, RequestFailed)
        assert event.error.kind == "InvalidRequest"
        return event.error.sentence


def vectors(event: Event) -> list[tuple[float, ...]]:
    assert isinstance(event, Embedded)
    return [struct.unpack("<2f", vector) for vector in event.vectors]


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    queue = Queue()
    queue.add("a", *("x" * length for length in range(1, 8)))

    (event,) = queue.run()

    assert [n_tokens for n_tokens, _ in vectors(event)] == [length + 1 for length in range(1, 8)]
    assert isinstance(event, Embedded)
    assert event.n_tokens == sum(range(2, 9))


def test_tokens_are_taken_as_they_are() -> None:
    queue = Queue()
    queue.add("a", (40, 41, 42))

    (event,) = queue.run()

    assert vectors(event) == [(3.0, 40.0)]


def test_a_batch_is_filled_up_to_its_tokens_and_its_inputs() -> None:
    queue = Queue(FakeEmbedder(batch_tokens=20, batch_inputs=4))
    queue.add("a", *["x"] * 5, "x" * 15, "x" * 50)

    queue.run()

    assert [[len(tokens) for tokens in batch] for batch in queue.embedder.batches] == [[2] * 4, [2, 16], [51]]


def test_requests_take_turns() -> None:
    queue = Queue(FakeEmbedder(batch_inputs=2))
    queue.add("long", *["x"] * 6)
    queue.add("short", "y")

    events = queue.run()

    assert [event.request_id for event in events if isinstance(event, Embedded)] == ["short", "long"]


def test_beside_answers_an_input_is_computed_in_pieces_that_are_no_longer_than_fair() -> None:
    queue = Queue(FakeEmbedder(batch_tokens=64))
    queue.step_s = 0.1
    queue.add("a", tuple([40] * 100))
    queue.embeddings.step()  # tokenizes
    for _ in range(4):
        queue.embeddings.step(beside_s=0.2)

    assert queue.embedder.steps[0] == 16  # nothing is known yet about how long it takes
    assert queue.embedder.steps[1] == 32  # as long as the answers' step


def test_answers_whose_steps_are_short_get_several_between_two_pieces() -> None:
    queue = Queue(FakeEmbedder(batch_tokens=64))
    queue.step_s = 0.1
    queue.add("a", tuple([40] * 100))
    queue.embeddings.step()
    for _ in range(14):
        queue.embeddings.step(beside_s=0.026)

    assert queue.embedder.steps == [16] * 4


def test_alone_it_takes_all_it_can() -> None:
    queue = Queue(FakeEmbedder(batch_tokens=64))
    queue.add("a", tuple([40] * 100))

    queue.run()

    assert queue.embedder.steps == [64, 36]


def test_a_cancelled_request_fails_once_and_its_batch_ends() -> None:
    queue = Queue()
    queue.add("a", tuple([40] * 90))
    queue.embeddings.step()
    queue.embeddings.step()

    (event,) = queue.embeddings.cancel(RequestId("a"))

    assert isinstance(event, RequestFailed)
    assert event.error.kind == "Cancelled"
    assert not queue.embeddings.has_work
    assert queue.embeddings.cancel(RequestId("a")) == []


def test_who_shares_a_batch_with_a_cancelled_request_still_gets_a_vector() -> None:
    queue = Queue(FakeEmbedder(batch_tokens=40))
    queue.add("a", tuple([40] * 15))
    queue.add("b", tuple([50] * 15))
    for _ in range(3):
        queue.embeddings.step(beside_s=0.0)  # both are tokenized, then a first piece
    queue.embeddings.cancel(RequestId("a"))

    (event,) = queue.run()

    assert vectors(event) == [(15.0, 50.0)]


def test_what_cannot_be_served_is_refused_with_numbers() -> None:
    queue = Queue()

    assert "nothing" in queue.refusal()
    assert "2,048 inputs" in queue.refusal(*["x"] * (MAX_INPUTS + 1))
    assert "Input 2 is empty" in queue.refusal("x", "")
    assert "Input 1 is empty" in queue.refusal(())
    assert "Input 1 is 101 tokens long, and Fake reads 100" in queue.refusal("x" * 100)
    assert "10,000 characters" in queue.refusal("x" * 10_000)
    assert "Input 1 has the token -1" in queue.refusal((-1,))
    assert queue.embedder.batches == []


def test_nothing_of_a_request_with_a_wrong_input_is_computed() -> None:
    queue = Queue()

    queue.refusal(*["x"] * 100, "")

    assert queue.embedder.batches == []


def test_a_queue_that_is_full_says_so() -> None:
    queue = Queue()
    for number in range(MAX_QUEUED):
        assert queue.add(str(number), "x") == []

    (event,) = queue.add("one more", "x")

    assert isinstance(event, RequestFailed)
    assert event.error.kind == "EngineBusy"


def test_a_batch_that_cannot_be_computed_costs_only_its_requests() -> None:
    queue = Queue(FakeEmbedder(batch_inputs=1, problems=[EngineStopped("no")]))
    queue.add("a", "x")
    queue.add("b", "y")

    failed, embedded = queue.run()

    assert isinstance(failed, RequestFailed)
    assert failed.request_id == "a"
    assert vectors(embedded) == [(2.0, float(START))]


def test_after_a_bug_nobody_is_left_waiting() -> None:
    queue = Queue()
    queue.add("a", "x")
    queue.add("b", "x")
    queue.embeddings.step()

    events = queue.embeddings.fail_all(ErrorInfo("BugError", "oh"))

    assert [event.request_id for event in events if isinstance(event, RequestFailed)] == ["a", "b"]
    assert queue.run() == []


@pytest.mark.parametrize(("idle_s", "is_kept"), [(KEEP_S / 2, True), (KEEP_S * 2, False)])
def test_memory_is_given_back_after_a_while_without_requests(idle_s: float, is_kept: bool) -> None:
    queue = Queue()
    queue.add("a", "x")
    queue.run()
    queue.embeddings.rest()
    queue.now_s += idle_s
    queue.embeddings.rest()

    assert queue.embedder.is_open == is_kept
    queue.add("b", "x")
    assert len(queue.run()) == 1
