"""Text of a moment goes out together, and nothing else waits."""

from __future__ import annotations

import pytest

from engine.errors import ErrorInfo
from engine.events import Event, ModelUnloaded, RequestFailed, TokensEmitted
from engine.types import RequestId, TokenLogprob, ToolCallPart
from engine.worker.mailbox import JOIN_S, Mailbox

A, B = RequestId("a"), RequestId("b")


@pytest.fixture
def sent() -> list[Event]:
    return []


@pytest.fixture
def mailbox(sent: list[Event]) -> Mailbox:
    return Mailbox(sent.append)


def tokens(text: str, n_tokens: int, request_id: RequestId = A) -> TokensEmitted:
    return TokensEmitted(request_id, text, n_tokens, (TokenLogprob(text.encode(), -1.0),))


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, TokensEmitted)]


def test_the_first_text_goes_out_at_once(mailbox: Mailbox, sent: list[Event]) -> None:
    mailbox.send([tokens("Hi", 1)], 5.0)

    assert sent == [tokens("Hi", 1)]


def test_what_follows_soon_is_joined_with_its_log_probabilities(mailbox: Mailbox, sent: list[Event]) -> None:
    for n_tokens in range(1, 6):
        mailbox.send([tokens(str(n_tokens), n_tokens)], n_tokens * JOIN_S / 3)

    assert texts(sent) == ["1", "234"]
    assert isinstance(sent[1], TokensEmitted)
    assert (sent[1].n_tokens, len(sent[1].logprobs)) == (4, 3)


def test_a_slow_model_sends_every_token(mailbox: Mailbox, sent: list[Event]) -> None:
    for n_tokens in range(1, 4):
        mailbox.send([tokens(str(n_tokens), n_tokens)], n_tokens * JOIN_S * 2)

    assert texts(sent) == ["1", "2", "3"]


def test_the_end_of_a_request_comes_after_all_its_text(mailbox: Mailbox, sent: list[Event]) -> None:
    end = RequestFailed(A, ErrorInfo("BugError", "x"))
    mailbox.send([tokens("1", 1), tokens("2", 2), end], 0.0)

    assert texts(sent) == ["1", "2"]
    assert sent[-1] == end


def test_requests_do_not_wait_for_each_other(mailbox: Mailbox, sent: list[Event]) -> None:
    mailbox.send([tokens("1", 1), tokens("2", 2), tokens("one", 1, B)], 0.0)

    assert texts(sent) == ["1", "one"]
    mailbox.flush()
    assert texts(sent) == ["1", "one", "2"]


def test_what_belongs_to_no_request_never_waits(mailbox: Mailbox, sent: list[Event]) -> None:
    mailbox.send([tokens("1", 1), tokens("2", 2), ModelUnloaded("x")], 0.0)

    assert isinstance(sent[-1], ModelUnloaded)
    assert texts(sent) == ["1"]


def test_what_is_joined_keeps_its_order(mailbox: Mailbox, sent: list[Event]) -> None:
    call = ToolCallPart(0, "id", "f", "{}")
    events = [
        TokensEmitted(A, "", 1, reasoning="a"),
        TokensEmitted(A, "", 2, reasoning="b"),
        TokensEmitted(A, "c", 3),
        TokensEmitted(A, "", 4, calls=(call,)),
        TokensEmitted(A, "d", 5),
        TokensEmitted(A, "", 6, reasoning="e"),
    ]
    mailbox.send(events, 0.0)
    mailbox.flush()

    assert sent == [
        TokensEmitted(A, "", 1, reasoning="a"),
        TokensEmitted(A, "c", 4, reasoning="b", calls=(call,)),
        TokensEmitted(A, "d", 5),
        TokensEmitted(A, "", 6, reasoning="e"),
    ]
