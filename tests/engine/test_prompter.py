"""Prompts that fit: what is left out, and that it stays the same from question to question."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.backend.fake import TEMPLATE, FakeVocab
from engine.errors import ContextTooLong
from engine.prompter import Prompter
from engine.types import ChatMessage, Overflow, Role

N_CTX = 400


@pytest.fixture
def prompter() -> Prompter:
    return Prompter(TEMPLATE, FakeVocab())


def conversation(n_turns: int, n_chars: int = 20) -> tuple[ChatMessage, ...]:
    turns = [
        ChatMessage(role, f"{number}".ljust(n_chars, "x"))
        for number in range(n_turns)
        for role in (Role.USER, Role.ASSISTANT)
    ]
    return (ChatMessage(Role.SYSTEM, "Be brief."), *turns, ChatMessage(Role.USER, "Now?"))


def test_what_fits_is_left_alone(prompter: Prompter) -> None:
    messages = conversation(2)

    assert prompter.fit(messages, N_CTX, Overflow.ROLL).n_dropped == 0
    assert prompter.fit(messages, N_CTX, Overflow.ROLL).tokens == prompter.tokens(messages)


def test_stopping_tells_both_lengths(prompter: Prompter) -> None:
    with pytest.raises(ContextTooLong) as refused:
        prompter.fit(conversation(30), N_CTX, Overflow.STOP)

    assert refused.value.n_ctx == N_CTX
    assert refused.value.n_prompt > N_CTX


def test_rolling_keeps_the_system_prompt_and_whole_turns_and_room_for_an_answer(prompter: Prompter) -> None:
    messages = conversation(30)

    prompt = prompter.fit(messages, N_CTX, Overflow.ROLL)

    assert prompt.n_dropped % 2 == 0
    assert prompt.tokens == prompter.tokens([messages[0], *messages[1 + prompt.n_dropped :]])
    assert len(prompt.tokens) <= N_CTX * 3 // 4


def test_what_is_left_out_changes_seldom_so_that_the_rest_is_rarely_read_again(prompter: Prompter) -> None:
    dropped = [prompter.fit(conversation(n), 4 * N_CTX, Overflow.ROLL).n_dropped for n in range(1, 80)]

    changes = sum(before != after for before, after in pairwise(dropped))
    assert dropped == sorted(dropped)
    assert 0 < changes <= len(dropped) // 4


def test_the_last_question_is_never_left_out(prompter: Prompter) -> None:
    long_question = (*conversation(5), ChatMessage(Role.ASSISTANT, "Yes."), ChatMessage(Role.USER, "y" * 320))

    prompt = prompter.fit(long_question, N_CTX, Overflow.ROLL)

    assert prompt.n_dropped == 12
    with pytest.raises(ContextTooLong):
        prompter.fit((ChatMessage(Role.USER, "y" * 500),), N_CTX, Overflow.ROLL)
