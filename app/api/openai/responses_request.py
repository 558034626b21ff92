"""The body of ``POST /v1/responses``, and the engine's request that it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from app.api.fields import (
    MAX_TOOLS,
    Name,
    NTokens,
    Sampling,
    Stop,
    ToolName,
    clean,
    sampling,
    schema_text,
    stop_strings,
    tool,
)
from app.api.openai.messages import (
    Effort,
    TemplateSettings,
    TextFormat,
    decoded,
    effort_of,
    mode_of,
    named_tool,
    only_tools,
    thinking_of,
)
from app.api.openai.responses_items import Conversation, Items, with_instructions
from engine.types import ChatMessage, GenerationRequest, Overflow, RequestId, SamplingParams, Tool, ToolChoice

_LOGPROBS = "message.output_text.logprobs"


class FunctionTool(msgspec.Struct):
    name: ToolName
    type: Literal["function"] = "function"
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFunction(msgspec.Struct, tag_field="type", tag="function"):
    name: Name


class FunctionRef(msgspec.Struct):
    name: Name
    type: Literal["function"] = "function"


class AllowedFunctions(msgspec.Struct, tag_field="type", tag="allowed_tools"):
    mode: Literal["auto", "required"]
    tools: Annotated[list[FunctionRef], Meta(max_length=MAX_TOOLS)]


FunctionChoice: TypeAlias = Literal["auto", "none", "required"] | NamedFunction | AllowedFunctions


class NamedSchemaFormat(msgspec.Struct, tag_field="type", tag="json_schema"):
    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class AnyObjectFormat(msgspec.Struct, tag_field="type", tag="json_object"):
    pass


class TextSettings(msgspec.Struct):
    format: TextFormat | AnyObjectFormat | NamedSchemaFormat | None = None


class ReasoningSettings(msgspec.Struct):
    effort: Effort | None = None
    summary: str | None = None


class ResponseBody(Sampling, kw_only=True):
    input: Items
    model: Name | None = None
    instructions: str | None = None
    previous_response_id: Name | None = None
    store: bool | None = None
    stream: bool | None = None
    max_output_tokens: NTokens | None = None
    stop: Stop | None = None
    tools: Annotated[list[FunctionTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: FunctionChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextSettings | None = None
    reasoning: ReasoningSettings | None = None
    chat_template_kwargs: TemplateSettings | None = None
    truncation: Literal["auto", "disabled"] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    include: Annotated[list[str], Meta(max_length=32)] | None = None
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None
    background: Literal[False] | None = None
    conversation: None = None
    prompt: None = None


_DECODER = msgspec.json.Decoder(ResponseBody)
History: TypeAlias = Callable[[str], tuple[ChatMessage, ...]]
"""The messages of a response that was given before, with its answer. Raises ApiError."""


@dataclass(frozen=True, slots=True)
class ResponseCall:
    """What a client asked for. ``history`` are the messages without the instructions, which later turns do not see."""

    asked: ResponseBody
    request: GenerationRequest
    history: tuple[ChatMessage, ...]
    has_logprobs: bool

    @property
    def is_kept(self) -> bool:
        return self.asked.store is not False


def parse_response(body: bytes, request_id: RequestId, defaults: SamplingParams, history: History) -> ResponseCall:
    """``defaults`` are used for what the client leaves open. Raises ApiError."""
    asked = decoded(body, _DECODER)
    conversation = Conversation(history(asked.previous_response_id) if asked.previous_response_id else ())
    conversation.add(asked.input)
    messages = conversation.messages
    if asked.instructions:
        messages = with_instructions(clean(asked.instructions, "instructions"), messages)
    tools, choice = _tools(asked)
    effort = asked.reasoning.effort if asked.reasoning is not None else None
    has_logprobs = asked.top_logprobs is not None or _LOGPROBS in (asked.include or ())
    request = GenerationRequest(
        request_id,
        messages,
        sampling(
            asked,
            defaults,
            json_schema=_schema(asked.text),
            n_logprobs=(asked.top_logprobs or 0) if has_logprobs else None,
        ),
        max_tokens=asked.max_output_tokens,
        stop=stop_strings(asked.stop),
        overflow=Overflow.ROLL if asked.truncation == "auto" else Overflow.STOP,
        tools=tools,
        tool_choice=choice,
        thinking=thinking_of(effort, asked.chat_template_kwargs),
        reasoning_effort=effort_of(effort),
    )
    return ResponseCall(asked, request, conversation.messages, has_logprobs)


def _tools(asked: ResponseBody) -> tuple[tuple[Tool, ...], ToolChoice]:
    tools = tuple(
        tool(one.name, one.description, one.parameters, f"tools[{n}]") for n, one in enumerate(asked.tools or ())
    )
    match asked.tool_choice:
        case NamedFunction(name=name):
            return named_tool(name, tools)
        case AllowedFunctions(mode=mode, tools=allowed):
            return mode_of(mode, only_tools([ref.name for ref in allowed], tools), asked.parallel_tool_calls)
        case None:
            return mode_of("auto", tools, asked.parallel_tool_calls)
        case mode:
            return mode_of(mode, tools, asked.parallel_tool_calls)


def _schema(asked: TextSettings | None) -> str | None:
    match asked:
        case TextSettings(format=NamedSchemaFormat(schema=schema)):
            return schema_text(schema, "text.format.schema")
        case TextSettings(format=AnyObjectFormat()):
            return schema_text({"type": "object"}, "text.format")
    return None
