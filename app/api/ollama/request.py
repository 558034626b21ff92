"""The bodies of ``POST /api/chat`` and ``/api/generate``, and the engine's request that they become.

The structs are the whole contract of what is understood; other fields are ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.api.body import decode
from app.api.errors import invalid
from app.api.fields import MAX_TOOLS, Name, clean, schema_text, stop_strings
from app.api.ollama.conversation import ChatTool, ChatTurn, NoImages, conversation, tools_of
from app.api.ollama.options import KeepAlive, Options, keep_alive_s, sampling_of
from engine.types import ChatMessage, GenerationRequest, Overflow, RequestId, Role, SamplingParams

_EXPLAINED = (
    (re.compile(r"(^|\.)images$"), "image input is not supported: models here read text only."),
    (re.compile(r"^suffix$"), "suffix is not supported: models here only go on from the end of the prompt."),
    (re.compile(r"^template$"), "template is not supported: a model's own is used. raw uses none."),
    (re.compile(r"^context$"), "context is of the past: send the conversation to /api/chat."),
    (re.compile(r"^format$"), 'format must be "json" or a JSON schema.'),
    (
        re.compile(r"^keep_alive$"),
        'keep_alive is a time such as "5m" or a number of seconds; below zero is for good, and 0 gives the model back.',
    ),
)

Nothing = Literal[""]


class OllamaBody(msgspec.Struct, kw_only=True):
    """``truncate`` leaves out the oldest messages where they are too many. Unlike with Ollama, that must be asked for:
    otherwise a conversation that is too long is an error and not a worse answer."""

    model: Name
    stream: bool | None = None
    format: Literal["", "json"] | dict[str, Any] | None = None
    options: Options | None = None
    keep_alive: KeepAlive | None = None
    think: bool | Literal["low", "medium", "high"] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    truncate: bool | None = None


class OllamaChatBody(OllamaBody, kw_only=True):
    """Without messages it loads the model, or gives it back if ``keep_alive`` is 0."""

    messages: Annotated[list[ChatTurn], Meta(max_length=10_000)] | None = None
    tools: Annotated[list[ChatTool], Meta(max_length=MAX_TOOLS)] | None = None


class GenerateBody(OllamaBody, kw_only=True):
    """Without a prompt it loads the model, or gives it back if ``keep_alive`` is 0."""

    prompt: str | None = None
    system: str | None = None
    raw: bool | None = None
    template: Nothing | None = None
    suffix: Nothing | None = None
    images: NoImages | None = None
    context: Annotated[list[int], Meta(max_length=0)] | None = None


_CHAT = msgspec.json.Decoder(OllamaChatBody)
_GENERATE = msgspec.json.Decoder(GenerateBody)


@dataclass(frozen=True, slots=True)
class OllamaCall:
    """What a client asked for. ``request`` None: only that the model be loaded, or given back."""

    model: str
    request: GenerationRequest | None
    keep_alive_s: float | None
    is_streamed: bool
    n_ctx: int | None
    """The context that the client wished for."""


def parse_chat(body: bytes, request_id: RequestId, defaults: SamplingParams) -> OllamaCall:
    """``defaults`` are used for what the client leaves open. Raises ApiError."""
    asked = decode(body, _CHAT, explained)
    messages = conversation(asked.messages or ())
    if not messages:
        return _call(asked, None)
    request = _request(asked, request_id, defaults, messages, prompt=None)
    return _call(asked, msgspec.structs.replace(request, tools=tools_of(asked.tools)))


def parse_generate(body: bytes, request_id: RequestId, defaults: SamplingParams) -> OllamaCall:
    """``defaults`` are used for what the client leaves open. Raises ApiError."""
    asked = decode(body, _GENERATE, explained)
    if not asked.prompt:
        return _call(asked, None)
    prompt, system = clean(asked.prompt, "prompt"), clean(asked.system or "", "system")
    if asked.raw:
        if system:
            raise invalid("With raw there is no system prompt: write it into the prompt.", "system")
        return _call(asked, _request(asked, request_id, defaults, (), prompt))
    opening = (ChatMessage(Role.SYSTEM, system),) if system else ()
    messages = (*opening, ChatMessage(Role.USER, prompt))
    return _call(asked, _request(asked, request_id, defaults, messages, prompt=None))


def explained(path: str) -> str | None:
    """A better sentence for what is wrong at ``path``."""
    return next((text for pattern, text in _EXPLAINED if pattern.search(path)), None)


def _call(asked: OllamaBody, request: GenerationRequest | None) -> OllamaCall:
    n_ctx = asked.options.num_ctx if asked.options else None
    return OllamaCall(asked.model, request, keep_alive_s(asked.keep_alive), asked.stream is not False, n_ctx)


def _request(
    asked: OllamaBody,
    request_id: RequestId,
    defaults: SamplingParams,
    messages: tuple[ChatMessage, ...],
    prompt: str | None,
) -> GenerationRequest:
    options = asked.options or Options()
    n_logprobs = (asked.top_logprobs or 0) if asked.logprobs else None
    return GenerationRequest(
        request_id,
        messages,
        sampling_of(options, defaults, _schema(asked.format), n_logprobs),
        max_tokens=options.max_tokens,
        stop=stop_strings(options.stop, "options.stop"),
        overflow=Overflow.ROLL if asked.truncate and messages else Overflow.STOP,
        prompt=prompt,
        continues=bool(messages) and messages[-1].role is Role.ASSISTANT,
        thinking=None if asked.think is None else bool(asked.think),
        reasoning_effort=asked.think if isinstance(asked.think, str) else None,
    )


def _schema(asked: str | dict[str, Any] | None) -> str | None:
    if not asked and not isinstance(asked, dict):
        return None
    return schema_text(asked if isinstance(asked, dict) else {"type": "object"}, "format")
