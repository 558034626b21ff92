"""What the request bodies of all vendors share: types with their ranges, and what becomes of them.

Every number has a range here, and the engine has its own again. A body's struct states its sampling settings under
the engine's names, either by deriving from :class:`Sampling` or with fields of its own, and hands itself to
:func:`sampling`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.api.body import check_depth
from app.api.errors import ApiError, invalid
from engine.types import ModelInfo, SamplingParams, Tool

MAX_TOOLS = 128
MAX_TOKEN_ID = 2**31 - 1
_MAX_SEED = 2**32 - 1
_CONVERSATION_PREFIX = "api:"
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_.:/-]{1,128}")
_SAMPLING = frozenset(SamplingParams.__struct_fields__) - {"seed", "logit_bias", "json_schema", "grammar", "n_logprobs"}

Temperature = Annotated[float, Meta(ge=0, le=5)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
TopK = Annotated[int, Meta(ge=0, le=1_000_000)]
RepeatPenalty = Annotated[float, Meta(ge=0.1, le=5)]
LastN = Annotated[int, Meta(ge=0, le=65_536)]
NTokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
StopString = Annotated[str, Meta(min_length=1, max_length=1000)]
Stop = StopString | Annotated[list[StopString], Meta(max_length=16)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ToolName = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_.:/-]+$")]
Tokens = Annotated[list[Annotated[int, Meta(ge=0, le=MAX_TOKEN_ID)]], Meta(min_length=1, max_length=1_000_000)]
LogitBias = Annotated[
    dict[Annotated[str, Meta(pattern=r"^[0-9]{1,10}$")], Annotated[float, Meta(ge=-100, le=100)]],
    Meta(max_length=1024),
]


class Sampling(msgspec.Struct):
    """How tokens are drawn, by OpenAI's and llama-server's names. None leaves it as it is set."""

    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: TopK | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repeat_penalty: RepeatPenalty | None = None
    repeat_last_n: LastN | None = None
    dry_multiplier: Annotated[float, Meta(ge=0, le=10)] | None = None
    dry_base: Annotated[float, Meta(ge=1, le=10)] | None = None
    dry_allowed_length: Annotated[int, Meta(ge=1, le=1024)] | None = None
    xtc_probability: Share | None = None
    xtc_threshold: Share | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Annotated[float, Meta(ge=0, le=20)] | None = None
    mirostat_eta: Share | None = None
    seed: Seed | None = None
    logit_bias: LogitBias | None = None


def sampling(
    asked: msgspec.Struct,
    defaults: SamplingParams,
    *,
    json_schema: str | None = None,
    grammar: str | None = None,
    n_logprobs: int | None = None,
) -> SamplingParams:
    """``defaults`` with every sampling setting of ``asked`` that is not None.

    ``asked`` needs to have none of the settings; those it has are found by SamplingParams' own names.
    ``json_schema`` is JSON text, as :func:`schema_text` makes it; only one of it and ``grammar`` may be there.
    """
    fields = _SAMPLING & set(asked.__struct_fields__)
    named = {name: value for name in fields if (value := getattr(asked, name)) is not None}
    return msgspec.structs.replace(
        defaults,
        **named,
        seed=folded_seed(getattr(asked, "seed", None)),
        logit_bias=biases(getattr(asked, "logit_bias", None)),
        json_schema=json_schema,
        grammar=grammar,
        n_logprobs=n_logprobs,
    )


def folded_seed(seed: int | None) -> int | None:
    """OpenAI's seeds have 64 bits and llama.cpp's 32; -1 asks llama.cpp for a random one."""
    return None if seed is None or seed == -1 else seed % _MAX_SEED


def seed_of_answer(seed: int | None, n: int) -> int | None:
    """The seed of the ``n``-th of several answers to one question."""
    return None if seed is None else (seed + n) % _MAX_SEED


def biases(asked: dict[str, float] | None) -> tuple[tuple[int, float], ...]:
    """Raises ApiError where a token's number is too large."""
    found = tuple((int(token), bias) for token, bias in (asked or {}).items())
    if any(token > MAX_TOKEN_ID for token, _ in found):
        raise invalid(f"logit_bias must name tokens by their numbers, up to {MAX_TOKEN_ID:,}.", "logit_bias")
    return found


def stop_strings(asked: str | Sequence[str] | None, param: str = "stop") -> tuple[str, ...]:
    strings = [asked] if isinstance(asked, str) else asked or []
    return tuple(clean(text, param) for text in strings)


def clean(text: str, param: str) -> str:
    """The text itself. Raises ApiError where it holds what no text does."""
    if "\0" in text:
        raise invalid(f"{param} holds a NUL character.", param)
    return text


def conversation_of(name: str | None) -> str | None:
    """What the engine calls a client's conversation: never one of the window's."""
    return None if name is None else _CONVERSATION_PREFIX + name


def schema_text(schema: dict[str, Any] | bool, param: str) -> str:
    """A JSON schema as JSON text. Raises ApiError where it is nested too deep."""
    check_depth(schema, param)
    return msgspec.json.encode(schema).decode()


def tool(name: str, description: str | None, parameters: dict[str, Any] | None, param: str) -> Tool:
    """Raises ApiError. ``parameters`` is a JSON schema; without one the function takes nothing."""
    if _TOOL_NAME.fullmatch(name) is None:
        raise invalid(f"{param}.name may have 1 to 128 letters, digits and any of _ - . : /", f"{param}.name")
    schema = parameters or {"type": "object", "properties": {}}
    return Tool(name, clean(description or "", f"{param}.description"), schema_text(schema, f"{param}.parameters"))


def check_tokens(tokens: Sequence[int], info: ModelInfo | None, param: str) -> None:
    """Raises ApiError where a token is none of the model's."""
    if info is not None and any(token >= info.n_vocab for token in tokens):
        raise invalid(f"{param} names a token that the model does not have: it has {info.n_vocab:,}.", param)


def check_can_chat(info: ModelInfo | None) -> None:
    """Raises ApiError for a model that is made for embeddings alone."""
    if info is not None and not info.can_chat:
        raise ApiError(
            400, "unsupported_model", f"{info.name} makes embeddings only; it writes no text.", param="model"
        )


def check_can_embed(info: ModelInfo | None) -> None:
    """Raises ApiError for a model that has no embeddings to give."""
    if info is not None and not info.can_embed:
        raise _unsuitable(f"{info.name} cannot make embeddings.")


def _unsuitable(message: str) -> ApiError:
    return ApiError(400, "unsupported_model", message, param="model")
