"""The body of ``POST /v1/chat/completions``, and the engine's request that it becomes.

The struct below is the whole contract of what is understood; other fields are ignored. Every number has a range here,
and the engine has its own again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.api.body import check_depth, decode
from app.api.errors import ApiError, invalid
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams

_MAX_SEED = 2**32 - 1
_MAX_TOKEN_ID = 2**31 - 1
_CONVERSATION_PREFIX = "api:"
_ROLES = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
NTokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
StopString = Annotated[str, Meta(min_length=1, max_length=1000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _JsonSchema(msgspec.Struct):
    schema: dict[str, Any] | None = None


class _ResponseFormat(msgspec.Struct):
    type: str
    json_schema: _JsonSchema | None = None
    schema: dict[str, Any] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    messages: Annotated[list[_Message], Meta(min_length=1, max_length=10_000)]
    model: Name | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: NTokens | None = None
    max_completion_tokens: NTokens | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    stop: StopString | Annotated[list[StopString], Meta(max_length=16)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=5)] | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    min_p: Share | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repeat_penalty: Annotated[float, Meta(ge=0.1, le=5)] | None = None
    repeat_last_n: Annotated[int, Meta(ge=0, le=65_536)] | None = None
    seed: Int64 | None = None
    logit_bias: Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: _ResponseFormat | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    conversation: Name | None = None


_DECODER = msgspec.json.Decoder(_Body)
_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
    "repeat_last_n",
)


@dataclass(frozen=True, slots=True)
class ChatCall:
    """What a client asked for. ``model`` None is whatever is loaded."""

    request: GenerationRequest
    model: str | None
    is_streamed: bool
    wants_usage: bool


def parse_chat(body: bytes, request_id: RequestId, defaults: SamplingParams) -> ChatCall:
    """``defaults`` are used for what the client leaves open. Raises ApiError."""
    asked = decode(body, _DECODER)
    _refuse_unsupported(asked)
    request = GenerationRequest(
        request_id,
        tuple(_message(message, f"messages[{n}]") for n, message in enumerate(asked.messages)),
        _sampling(asked, defaults),
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        stop=_stop(asked),
        conversation=None if asked.conversation is None else _CONVERSATION_PREFIX + asked.conversation,
    )
    options = asked.stream_options or _StreamOptions()
    return ChatCall(request, asked.model, bool(asked.stream), bool(options.include_usage))


def _refuse_unsupported(asked: _Body) -> None:
    if asked.tools and asked.tool_choice != "none":
        raise ApiError(400, "unsupported_parameter", "Tools are not supported yet.", param="tools")
    if asked.top_logprobs is not None and not asked.logprobs:
        raise invalid("top_logprobs needs logprobs to be true.", "top_logprobs")


def _message(message: _Message, where: str) -> ChatMessage:
    role = _ROLES.get(message.role)
    if role is None:
        known = ", ".join(_ROLES)
        raise invalid(f"{where}.role must be one of {known}.", f"{where}.role")
    return ChatMessage(role, _clean(_text(message.content, f"{where}.content"), f"{where}.content"))


def _text(content: str | list[_Part] | None, where: str) -> str:
    if content is None:
        raise invalid(f"{where} is missing.", where)
    if isinstance(content, str):
        return content
    for part in content:
        if part.type != "text" or part.text is None:
            raise invalid(f"{where} may have parts of type text only.", where)
    return "".join(part.text or "" for part in content)


def _clean(text: str, param: str) -> str:
    if "\0" in text:
        raise invalid(f"{param} holds a NUL character.", param)
    return text


def _stop(asked: _Body) -> tuple[str, ...]:
    strings = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    return tuple(_clean(text, "stop") for text in strings)


def _sampling(asked: _Body, defaults: SamplingParams) -> SamplingParams:
    named = {name: value for name in _SAMPLING if (value := getattr(asked, name)) is not None}
    return msgspec.structs.replace(
        defaults,
        **named,
        seed=_seed(asked.seed),
        logit_bias=tuple((_token_id(token), bias) for token, bias in (asked.logit_bias or {}).items()),
        json_schema=_json_schema(asked.response_format),
        n_logprobs=(asked.top_logprobs or 0) if asked.logprobs else None,
    )


def _seed(seed: int | None) -> int | None:
    """OpenAI's seeds have 64 bits and llama.cpp's 32; -1 asks llama.cpp for a random one."""
    return None if seed is None or seed == -1 else seed % _MAX_SEED


def _token_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MAX_TOKEN_ID):
        raise invalid(f"logit_bias must name tokens by their numbers, up to {_MAX_TOKEN_ID:,}.", "logit_bias")
    return int(text)


def _json_schema(wanted: _ResponseFormat | None) -> str | None:
    """The schema as JSON text. OpenAI puts it into ``json_schema``, llama.cpp beside ``type`` also for json_object."""
    match wanted:
        case None | _ResponseFormat(type="text"):
            return None
        case _ResponseFormat(type="json_object", schema=schema):
            found = schema or {"type": "object"}
        case _ResponseFormat(type="json_schema", json_schema=_JsonSchema(schema=dict(schema))):
            found = schema
        case _ResponseFormat(type="json_schema"):
            raise invalid("response_format.json_schema.schema is missing.", "response_format")
        case _:
            raise invalid("response_format.type must be text, json_object or json_schema.", "response_format")
    check_depth(found, "response_format")
    return msgspec.json.encode(found).decode()
