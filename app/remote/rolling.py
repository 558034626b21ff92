"""Leaving the oldest turns out, where a server says that a conversation is too long for its context."""

from __future__ import annotations

import math
from collections.abc import Sequence

from app.remote.errors import TooLongForServer
from engine.types import ChatMessage, Role

_STEP = 0.25
"""Of the context, as for models on this machine: what is left out should not change with every question."""


def without_oldest(messages: Sequence[ChatMessage], error: TooLongForServer) -> tuple[ChatMessage, ...] | None:
    """The same conversation with whole turns less; None where only the last question would be left to leave out.

    The length of a text stands for its tokens, which only the server can count.
    """
    n_system = next((i for i, message in enumerate(messages) if message.role is not Role.SYSTEM), len(messages))
    starts = [i for i, message in enumerate(messages) if message.role is Role.USER and i > n_system]
    if not starts:
        return None
    n_chars = sum(len(message.content) for message in messages)
    wanted = n_chars * _share_to_drop(error)
    dropped = 0
    for start, previous in zip(starts, [n_system, *starts], strict=False):
        dropped += sum(len(message.content) for message in messages[previous:start])
        if dropped >= wanted or start == starts[-1]:
            return (*messages[:n_system], *messages[start:])
    return None


def _share_to_drop(error: TooLongForServer) -> float:
    if error.n_prompt is None or error.n_ctx is None:
        return _STEP
    n_over = error.n_prompt - error.n_ctx * (1 - _STEP)
    step = max(1.0, error.n_ctx * _STEP)
    return min(1.0, math.ceil(n_over / step) * step / error.n_prompt)
