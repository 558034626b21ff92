"""The bodies of ``POST /v1/messages`` and ``.../count_tokens``, and the engine's request that they become.

The structs are the whole contract of what is understood; other fields (``metadata``, ``cache_control``,
``service_tier``) are ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.api.anthropic.blocks import Text
from app.api.anthropic.conversation import Turn, conversation
from app.api.body import check_depth, decode
from app.api.errors import invalid
from app.api.fields import (
    MAX_TOOLS,
    Name,
    NTokens,
    Share,
    StopString,
    Temperature,
    ToolName,
    TopK,
    sampling,
    schema_text,
)
from app.api.fields import stop_strings as checked_stop
from app.api.fields import tool as checked_tool
from engine.types import GenerationRequest, RequestId, Role, SamplingParams, Tool, ToolChoice, ToolMode

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_EXPLAINED = (
    (
        re.compile(r"content\[\d+\]\.type$"),
        "{path} names something that models here do not read: image input is not supported, nor are documents.",
    ),
    (
        re.compile(r"^tools\[\d+\]\.(type|input_schema)$"),
        "{path}: only tools of your own are supported, which have an input_schema.",
    ),
)


class MessagesTool(msgspec.Struct):
    name: ToolName
    input_schema: dict[str, Any]
    type: Literal["custom"] | None = None
    description: str | None = None


class AutoChoice(msgspec.Struct, tag_field="type", tag="auto"):
    disable_parallel_tool_use: bool | None = None


class AnyChoice(msgspec.Struct, tag_field="type", tag="any"):
    disable_parallel_tool_use: bool | None = None


class NamedChoice(msgspec.Struct, tag_field="type", tag="tool"):
    name: Name
    disable_parallel_tool_use: bool | None = None


class NoChoice(msgspec.Struct, tag_field="type", tag="none"):
    """The tools are shown to the model, which must not call them."""


class Thinking(msgspec.Struct, tag_field="type", tag="enabled"):
    """``budget_tokens`` is not kept to: how long a model reasons is its own affair, within ``max_tokens``."""

    budget_tokens: NTokens | None = None


class NoThinking(msgspec.Struct, tag_field="type", tag="disabled"):
    pass


class AdaptiveThinking(msgspec.Struct, tag_field="type", tag="adaptive"):
    """The model's template decides, as it does where nothing is said."""


class ThinkingBetweenTools(msgspec.Struct, tag_field="type", tag="between_tools"):
    """As AdaptiveThinking."""


class MessagesSchemaFormat(msgspec.Struct, tag_field="type", tag="json_schema"):
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: MessagesSchemaFormat | None = None


class CountBody(msgspec.Struct, kw_only=True):
    messages: Annotated[list[Turn], Meta(min_length=1, max_length=100_000)]
    model: Name | None = None
    system: Text | None = None
    tools: Annotated[list[MessagesTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: AutoChoice | AnyChoice | NamedChoice | NoChoice | None = None
    thinking: Thinking | NoThinking | AdaptiveThinking | ThinkingBetweenTools | None = None
    output_config: OutputConfig | None = None


class MessagesBody(CountBody, kw_only=True):
    max_tokens: NTokens
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: TopK | None = None
    stop_sequences: Annotated[list[StopString], Meta(max_length=16)] | None = None


_MESSAGES = msgspec.json.Decoder(MessagesBody)
_COUNT = msgspec.json.Decoder(CountBody)


@dataclass(frozen=True, slots=True)
class MessagesCall:
    """What a client asked for. ``model`` None is whatever is loaded."""

    request: GenerationRequest
    model: str | None
    is_streamed: bool = False


def parse_messages(body: bytes, request_id: RequestId, defaults: SamplingParams) -> MessagesCall:
    """``defaults`` are used for what the client leaves open. Raises ApiError."""
    asked = decode(body, _MESSAGES, _explained)
    request = msgspec.structs.replace(
        _request(asked, request_id),
        sampling=sampling(asked, defaults, json_schema=_schema(asked.output_config)),
        max_tokens=asked.max_tokens,
        stop=checked_stop(asked.stop_sequences, "stop_sequences"),
    )
    return MessagesCall(request, asked.model, bool(asked.stream))


def parse_count(body: bytes, request_id: RequestId) -> MessagesCall:
    """Raises ApiError."""
    asked = decode(body, _COUNT, _explained)
    return MessagesCall(_request(asked, request_id), asked.model)


def _request(asked: CountBody, request_id: RequestId) -> GenerationRequest:
    """What decides over the prompt."""
    messages = conversation(asked.system, asked.messages)
    tools = tuple(_tool(wanted, f"tools[{n}]") for n, wanted in enumerate(asked.tools or []))
    config = asked.output_config
    return GenerationRequest(
        request_id,
        messages,
        tools=tools,
        tool_choice=_choice(asked.tool_choice, tools),
        continues=messages[-1].role is Role.ASSISTANT,
        thinking=_thinking(asked.thinking),
        reasoning_effort=_EFFORTS[config.effort] if config is not None and config.effort is not None else None,
    )


def _tool(wanted: MessagesTool, where: str) -> Tool:
    check_depth(wanted.input_schema, f"{where}.input_schema")
    return checked_tool(wanted.name, wanted.description, wanted.input_schema, where)


def _choice(asked: AutoChoice | AnyChoice | NamedChoice | NoChoice | None, tools: tuple[Tool, ...]) -> ToolChoice:
    match asked:
        case None:
            return ToolChoice()
        case AutoChoice(disable_parallel_tool_use=is_single):
            return ToolChoice(at_most_one=bool(is_single))
        case AnyChoice(disable_parallel_tool_use=is_single):
            if not tools:
                raise invalid("tool_choice asks for a tool, but there are no tools.", "tool_choice")
            return ToolChoice(ToolMode.REQUIRED, at_most_one=bool(is_single))
        case NamedChoice(name=name, disable_parallel_tool_use=is_single):
            if all(tool.name != name for tool in tools):
                raise invalid("tool_choice names none of the tools.", "tool_choice.name")
            return ToolChoice(ToolMode.NAMED, name, bool(is_single))
    return ToolChoice(ToolMode.NONE)


def _thinking(asked: Thinking | NoThinking | AdaptiveThinking | ThinkingBetweenTools | None) -> bool | None:
    match asked:
        case Thinking():
            return True
        case NoThinking():
            return False
    return None


def _schema(config: OutputConfig | None) -> str | None:
    if config is None or config.format is None:
        return None
    return schema_text(config.format.schema, "output_config.format.schema")


def _explained(path: str) -> str | None:
    return next((text.format(path=path) for pattern, text in _EXPLAINED if pattern.search(path)), None)
