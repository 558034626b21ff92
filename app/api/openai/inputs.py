"""Prompts as text or as tokens, one or many, in the ways that OpenAI's older endpoints take them."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from app.api.errors import invalid
from app.api.fields import MAX_TOKEN_ID, Tokens, check_tokens, clean
from engine.types import ModelInfo

MAX_INPUTS = 2048
_Token = Annotated[int, Meta(ge=0, le=MAX_TOKEN_ID)]

Input: TypeAlias = str | tuple[int, ...]
Inputs = str | Annotated[list[str | _Token | Tokens], Meta(min_length=1, max_length=1_000_000)]
"""A text, texts, tokens, or lists of tokens; texts and lists of tokens may stand beside each other."""


def inputs_of(asked: Inputs, param: str, most: int = MAX_INPUTS) -> tuple[Input, ...]:
    """Raises ApiError."""
    if isinstance(asked, str):
        return (clean(asked, param),)
    tokens = [item for item in asked if isinstance(item, int)]
    if len(tokens) == len(asked):
        return (tuple(tokens),)
    if tokens:
        raise invalid(f"{param} mixes tokens with texts.", param)
    if len(asked) > most:
        raise invalid(f"{param} may have {most:,} texts, not {len(asked):,}.", param)
    return tuple(_input(item, f"{param}[{n}]") for n, item in enumerate(asked))


def _input(item: str | int | list[int], where: str) -> Input:
    assert not isinstance(item, int)
    return clean(item, where) if isinstance(item, str) else tuple(item)


def check_inputs(inputs: tuple[Input, ...], info: ModelInfo | None, param: str) -> None:
    """Raises ApiError where a token is none of the model's."""
    for item in inputs:
        if not isinstance(item, str):
            check_tokens(item, info, param)
