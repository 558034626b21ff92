"""Prompts that fit: what is left out, and that it stays the same from question to question."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.backend.fake import TEMPLATE, FakeVocab
from engine.errors import ContextTooLong, InvalidRequest
from engine.prompter import Prompter
from engine.types import ChatMessage, GenerationRequest, Overflow, RequestId, Role, ToolCall
from tests.doubles import templates

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


def test_rolling_never_parts_a_call_from_its_result(prompter: Prompter) -> None:
    call = ToolCall("c", "f", '{"a": "' + "x" * 30 + '"}')
    turn = (
        ChatMessage(Role.USER, "u" * 20),
        ChatMessage(Role.ASSISTANT, "", tool_calls=(call,)),
        ChatMessage(Role.TOOL, "r" * 30, tool_call_id="c"),
        ChatMessage(Role.ASSISTANT, "a" * 20),
    )
    messages = (ChatMessage(Role.SYSTEM, "Be brief."), *turn * 6, ChatMessage(Role.USER, "Now?"))

    prompt = prompter.fit(messages, 4 * N_CTX, Overflow.ROLL)

    assert prompt.n_dropped > 0
    assert prompt.n_dropped % len(turn) == 0


def test_a_prompt_without_messages_is_taken_as_it_stands_with_its_control_tokens(prompter: Prompter) -> None:
    request = GenerationRequest(RequestId("a"), (), prompt="<|start|>user\nHi")
    as_tokens = GenerationRequest(RequestId("a"), (), prompt=(1, 97 + 16))

    assert prompter.prompt(request, N_CTX).tokens == FakeVocab().tokenize("<|start|>user\nHi", special=True)
    assert prompter.prompt(as_tokens, N_CTX).tokens == [1, 97 + 16]
    assert prompter.count(as_tokens) == 2


@pytest.mark.parametrize("prompt", ["", (), (-1,), (0x300000,)])
def test_a_prompt_that_is_none(prompter: Prompter, prompt: str | tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest):
        prompter.prompt(GenerationRequest(RequestId("a"), (), prompt=prompt), N_CTX)


def test_a_prompt_as_it_stands_cannot_be_rolled(prompter: Prompter) -> None:
    request = GenerationRequest(RequestId("a"), (), prompt="x" * N_CTX, overflow=Overflow.ROLL)
    with pytest.raises(ContextTooLong):
        prompter.prompt(request, N_CTX)


@pytest.mark.parametrize(
    "source", ["{% if %}", "{{ messages.x.y.z }}", "{{ 'a' * 10**9 }}", "{{ ''.__class__ }}{{ 1 / 0 }}"]
)
def test_a_template_that_does_not_work_is_replaced_and_told_of(source: str) -> None:
    prompter = Prompter(source, FakeVocab())

    assert prompter.template_problem is not None
    assert prompter.template_problem.startswith("The model's chat template ")
    assert prompter.tokens([ChatMessage(Role.USER, "Hi")]) == FakeVocab().tokenize("User: Hi\n\nAssistant:", True)
    assert prompter.stop == ("\nUser:",)


def test_a_template_that_works_is_used(prompter: Prompter) -> None:
    assert prompter.template_problem is None
    assert not prompter.can_call_tools


@pytest.mark.parametrize(
    ("source", "can_call_tools", "can_reason", "form"),
    [
        (templates.QWEN3, True, True, "hermes"),
        (templates.LLAMA3, True, False, "llama3"),
        (templates.MISTRAL, True, False, "mistral-list"),
        (templates.HARMONY, True, True, "harmony"),
        (templates.CHATML, False, False, "plain"),
    ],
)
def test_a_template_gives_its_family_away(source: str, can_call_tools: bool, can_reason: bool, form: str) -> None:
    prompter = Prompter(source, FakeVocab())

    found = (prompter.can_call_tools, prompter.format.can_reason, prompter.format.calls.name)
    assert found == (can_call_tools, can_reason, form)


def test_a_template_that_begins_to_reason_says_so() -> None:
    prompter = Prompter(templates.DEEPSEEK, FakeVocab())
    request = GenerationRequest(RequestId("a"), (ChatMessage(Role.USER, "Hi"),))

    assert prompter.prompt(request, N_CTX).in_reasoning
