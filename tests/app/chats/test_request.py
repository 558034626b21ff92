"""Rows of a conversation and the messages that the engine gets of them.

A path is drawn as ``U``, ``A`` for what somebody said and ``u``, ``a`` for messages without a word.
"""

from __future__ import annotations

import pytest

from app.chats.request import build_messages, n_rows_dropped
from app.chats.types import Message, MessageState
from app.settings import Settings
from engine.types import ChatMessage, Role


def path_of(drawn: str) -> list[Message]:
    return [
        Message(
            id=number,
            conversation_id=1,
            parent_id=number - 1 or None,
            role=Role.USER if letter in "Uu" else Role.ASSISTANT,
            content=f"{letter}{number}" if letter.isupper() else "",
            state=MessageState.COMPLETE,
            created_at_s=0.0,
            sibling_number=1,
            n_siblings=1,
        )
        for number, letter in enumerate(drawn, 1)
    ]


@pytest.mark.parametrize(
    ("drawn", "n_dropped", "n_rows"),
    [
        ("UAUAU", 0, 0),
        ("UAUAU", 2, 2),
        ("UAUAU", 4, 4),
        ("UAUAU", 5, 5),
        ("UAUAU", 99, 5),
        ("", 2, 0),
        ("UaUAU", 2, 4),  # two questions in a row are one message
        ("UaUaUAU", 2, 6),
        ("UAUaUAU", 2, 2),
        ("UAaUAU", 2, 3),  # an answer without a word goes with what is before it
        ("UAUa", 2, 2),
        ("uAUAU", 1, 2),
    ],
)
def test_what_the_engine_left_out_is_found_in_the_rows(drawn: str, n_dropped: int, n_rows: int) -> None:
    assert n_rows_dropped(path_of(drawn), n_dropped) == n_rows


@pytest.mark.parametrize("drawn", ["UAUAU", "UaUAU", "UaUaUAU", "UAUaUAU", "UAaUAU", "uAUAU"])
def test_the_rows_that_are_left_make_the_messages_that_are_left(drawn: str) -> None:
    path, settings = path_of(drawn), Settings()
    messages = build_messages(path, settings)

    for n_dropped in range(len(messages) + 1):
        left = path[n_rows_dropped(path, n_dropped) :]
        assert build_messages(left, settings) == messages[n_dropped:]


def test_a_draft_is_what_the_user_says_next() -> None:
    settings = Settings(system_prompt="Be brief.")

    assert build_messages(path_of("UA"), settings, "and then?") == (
        ChatMessage(Role.SYSTEM, "Be brief."),
        ChatMessage(Role.USER, "U1"),
        ChatMessage(Role.ASSISTANT, "A2"),
        ChatMessage(Role.USER, "and then?"),
    )
    assert build_messages(path_of("U"), settings, "and then?")[-1] == ChatMessage(Role.USER, "U1\n\nand then?")
    assert build_messages(path_of("UA"), settings, "  ")[-1] == ChatMessage(Role.ASSISTANT, "A2")
