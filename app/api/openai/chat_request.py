"""The body of ``POST /v1/chat/completions``, and the engine's requests that it becomes.

The struct below is the whole contract of what is understood; other fields are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.api.errors import invalid
from app.api.fields import (
    Name,
    NTokens,
    Sampling,
    Stop,
    conversation_of,
    sampling,
    seed_of_answer,
    stop_strings,
)
from app.api.openai.messages import (
    Choice,
    Effort,
    Messages,
    ResponseFormat,
    TemplateSettings,
    ToolSpecs,
    chosen_tools,
    constraint,
    decoded,
    effort_of,
    engine_messages,
    engine_tools,
    thinking_of,
)
from engine.types import ChatMessage, GenerationRequest, RequestId, Role, SamplingParams

MAX_CHOICES = 8
MAX_GRAMMAR_CHARS = 200_000
NChoices = Annotated[int, Meta(ge=1, le=MAX_CHOICES)]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatBody(Sampling, kw_only=True):
    messages: Messages
    model: Name | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: NTokens | None = None
    max_completion_tokens: NTokens | None = None
    n: NChoices | None = None
    stop: Stop | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | None = None
    grammar: Annotated[str, Meta(max_length=MAX_GRAMMAR_CHARS)] | None = None
    tools: ToolSpecs | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: TemplateSettings | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None
    conversation: Name | None = None
    functions: None = None
    function_call: None = None
    audio: None = None


_DECODER = msgspec.json.Decoder(ChatBody)


@dataclass(frozen=True, slots=True)
class ChatCall:
    """What a client asked for: ``requests`` differ in their seeds alone. ``model`` None is whatever is loaded."""

    requests: tuple[GenerationRequest, ...]
    model: str | None
    is_streamed: bool
    wants_usage: bool

    @property
    def has_logprobs(self) -> bool:
        return self.requests[0].sampling.n_logprobs is not None


def parse_chat(body: bytes, request_id: RequestId, defaults: SamplingParams) -> ChatCall:
    """``defaults`` are used for what the client leaves open. Raises ApiError."""
    asked = decoded(body, _DECODER)
    if asked.top_logprobs is not None and not asked.logprobs:
        raise invalid("top_logprobs needs logprobs to be true.", "top_logprobs")
    messages = engine_messages(asked.messages)
    if [message.role for message in messages[-2:]] == [Role.ASSISTANT] * 2:
        raise invalid("There may not be two messages of the assistant at the end.", "messages")
    tools, choice = chosen_tools(asked.tool_choice, engine_tools(asked.tools), asked.parallel_tool_calls)
    request = GenerationRequest(
        request_id,
        messages,
        _sampling(asked, defaults),
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        stop=stop_strings(asked.stop),
        conversation=conversation_of(asked.conversation),
        tools=tools,
        tool_choice=choice,
        continues=_continues(asked, messages),
        thinking=thinking_of(asked.reasoning_effort, asked.chat_template_kwargs),
        reasoning_effort=effort_of(asked.reasoning_effort),
    )
    options = asked.stream_options or StreamOptions()
    return ChatCall(several(request, asked.n or 1), asked.model, bool(asked.stream), bool(options.include_usage))


def several(request: GenerationRequest, n: int) -> tuple[GenerationRequest, ...]:
    """The request and ``n - 1`` more like it, each with a seed of its own."""
    return (request, *(_sibling(request, number) for number in range(1, n)))


def _sibling(request: GenerationRequest, number: int) -> GenerationRequest:
    seed = seed_of_answer(request.sampling.seed, number)
    return msgspec.structs.replace(
        request,
        id=RequestId(f"{request.id}-{number}"),
        sampling=msgspec.structs.replace(request.sampling, seed=seed),
    )


def _sampling(asked: ChatBody, defaults: SamplingParams) -> SamplingParams:
    schema, grammar = constraint(asked.response_format, asked.json_schema, asked.grammar)
    n_logprobs = (asked.top_logprobs or 0) if asked.logprobs else None
    return sampling(asked, defaults, json_schema=schema, grammar=grammar, n_logprobs=n_logprobs)


def _continues(asked: ChatBody, messages: tuple[ChatMessage, ...]) -> bool:
    """vLLM's rules: the two exclude each other, and neither begins an answer is what cannot be asked for."""
    begins = asked.add_generation_prompt
    if not asked.continue_final_message:
        if begins is False and messages[-1].role is not Role.ASSISTANT:
            raise invalid(
                "add_generation_prompt can be false only where the last message is the assistant's.",
                "add_generation_prompt",
            )
        return begins is False
    if begins:
        raise invalid("continue_final_message needs add_generation_prompt to be false.", "continue_final_message")
    if messages[-1].role is not Role.ASSISTANT:
        raise invalid("continue_final_message needs a last message of the assistant.", "continue_final_message")
    return True
