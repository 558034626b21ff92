"""Messages and tools as OpenAI's chat completions write them, and the engine's values that they become."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from app.api.body import decode
from app.api.errors import invalid
from app.api.fields import MAX_TOOLS, Name, ToolName, clean, schema_text, tool
from engine.types import ChatMessage, Role, Tool, ToolCall, ToolChoice, ToolMode

_EXPLAINED = (
    (re.compile(r"(content|output)\[\d+\]\.type$"), "This model reads text only: {path} names something else."),
    (re.compile(r"(^|\.)tools\[\d+\]\.type$"), "{path}: only tools of type function are supported."),
    (re.compile(r"(^|\.)functions$"), "functions is of the past: send tools instead."),
    (re.compile(r"^function_call$"), "function_call is of the past: send tool_choice instead."),
    (re.compile(r"\.function_call$"), "{path} is of the past: send tool_calls instead."),
    (re.compile(r"^suffix$"), "suffix is not supported: the model only goes on from the end of the prompt."),
    (re.compile(r"^background$"), "background is not supported: the answer comes with this request."),
    (re.compile(r"^prompt\.\w+|^prompt$"), "prompt: prompts that are kept by a server are not supported."),
    (re.compile(r"^conversation$"), "conversation is not supported: send previous_response_id, or all of the items."),
    (re.compile(r"^audio$|^modalities\[\d+\]$"), "This model writes text only."),
)

T = TypeVar("T")


class TextPart(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class RefusalPart(msgspec.Struct, tag_field="type", tag="refusal"):
    refusal: str


TextParts: TypeAlias = str | list[TextPart]


class FunctionCall(msgspec.Struct):
    """``arguments`` is JSON text; some clients send the object itself."""

    name: Name
    arguments: str | dict[str, Any] = ""


class MessageCall(msgspec.Struct):
    function: FunctionCall
    id: Name | None = None
    type: Literal["function"] = "function"


class SystemMessage(msgspec.Struct, tag_field="role", tag="system"):
    content: TextParts


class DeveloperMessage(msgspec.Struct, tag_field="role", tag="developer"):
    content: TextParts


class UserMessage(msgspec.Struct, tag_field="role", tag="user"):
    content: TextParts


class AssistantMessage(msgspec.Struct, tag_field="role", tag="assistant"):
    """``reasoning_content`` is DeepSeek's, llama-server's and vLLM's name; newer versions of vLLM say reasoning."""

    content: str | list[TextPart | RefusalPart] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[MessageCall], Meta(max_length=MAX_TOOLS)] | None = None
    function_call: None = None


class ToolMessage(msgspec.Struct, tag_field="role", tag="tool"):
    content: TextParts
    tool_call_id: Name | None = None
    name: Name | None = None


Message: TypeAlias = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage
Messages = Annotated[list[Message], Meta(min_length=1, max_length=10_000)]


class FunctionSpec(msgspec.Struct):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolSpec(msgspec.Struct):
    function: FunctionSpec
    type: Literal["function"] = "function"


class FunctionName(msgspec.Struct):
    name: Name


class ToolRef(msgspec.Struct):
    function: FunctionName
    type: Literal["function"] = "function"


class NamedTool(msgspec.Struct, tag_field="type", tag="function"):
    function: FunctionName


class ToolSet(msgspec.Struct):
    mode: Literal["auto", "required"]
    tools: Annotated[list[ToolRef], Meta(max_length=MAX_TOOLS)]


class AllowedTools(msgspec.Struct, tag_field="type", tag="allowed_tools"):
    allowed_tools: ToolSet


ToolSpecs = Annotated[list[ToolSpec], Meta(max_length=MAX_TOOLS)]
Choice: TypeAlias = Literal["auto", "none", "required"] | NamedTool | AllowedTools


class JsonSchema(msgspec.Struct):
    schema: dict[str, Any]
    name: str | None = None


class TextFormat(msgspec.Struct, tag_field="type", tag="text"):
    pass


class JsonObjectFormat(msgspec.Struct, tag_field="type", tag="json_object"):
    """``schema`` is llama.cpp's."""

    schema: dict[str, Any] | None = None


class JsonSchemaFormat(msgspec.Struct, tag_field="type", tag="json_schema"):
    json_schema: JsonSchema


ResponseFormat: TypeAlias = TextFormat | JsonObjectFormat | JsonSchemaFormat
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class TemplateSettings(msgspec.Struct):
    """What clients of vLLM and llama-server set for a chat template; other names are ignored."""

    enable_thinking: bool | None = None
    thinking: bool | None = None


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The body, with a sentence of their own for things that OpenAI has and this server has not. Raises ApiError."""
    return decode(body, decoder, _explained)


def _explained(path: str) -> str | None:
    return next((text.format(path=path) for pattern, text in _EXPLAINED if pattern.search(path)), None)


def engine_messages(asked: Sequence[Message]) -> tuple[ChatMessage, ...]:
    """Raises ApiError."""
    found: list[ChatMessage] = []
    names: dict[str, str] = {}
    for n, message in enumerate(asked):
        made = _message(message, f"messages[{n}]", names)
        names |= {call.id: call.name for call in made.tool_calls}
        found.append(made)
    return tuple(found)


def _message(message: Message, where: str, names: dict[str, str]) -> ChatMessage:
    """``names`` are those of the functions that were called so far, by the id of the call."""
    text = joined(message.content, f"{where}.content")
    match message:
        case SystemMessage() | DeveloperMessage():
            return ChatMessage(Role.SYSTEM, text)
        case UserMessage():
            return ChatMessage(Role.USER, text)
        case ToolMessage(tool_call_id=call_id, name=name):
            return ChatMessage(Role.TOOL, text, tool_call_id=call_id, name=name or names.get(call_id or ""))
    reasoning = clean(message.reasoning_content or message.reasoning or "", f"{where}.reasoning_content")
    calls = tuple(_call(call, f"{where}.tool_calls[{n}]", n) for n, call in enumerate(message.tool_calls or ()))
    return ChatMessage(Role.ASSISTANT, text or message.refusal or "", reasoning, calls)


def joined(content: str | Sequence[TextPart | RefusalPart] | None, where: str) -> str:
    if content is None or isinstance(content, str):
        return clean(content or "", where)
    return clean("".join(part.text if isinstance(part, TextPart) else part.refusal for part in content), where)


def _call(call: MessageCall, where: str, n: int) -> ToolCall:
    arguments = call.function.arguments
    if isinstance(arguments, dict):
        arguments = schema_text(arguments, f"{where}.function.arguments")
    return ToolCall(call.id or f"call_{n}", call.function.name, clean(arguments, f"{where}.function.arguments"))


def engine_tools(asked: Sequence[ToolSpec] | None) -> tuple[Tool, ...]:
    """Raises ApiError."""
    return tuple(_tool(spec.function, f"tools[{n}].function") for n, spec in enumerate(asked or ()))


def _tool(spec: FunctionSpec, where: str) -> Tool:
    return tool(spec.name, spec.description, spec.parameters, where)


def chosen_tools(
    asked: Choice | None, tools: tuple[Tool, ...], is_parallel: bool | None
) -> tuple[tuple[Tool, ...], ToolChoice]:
    """The tools that the model is shown, and how it may call them. Raises ApiError."""
    match asked:
        case NamedTool(function=FunctionName(name=name)):
            return named_tool(name, tools)
        case AllowedTools(allowed_tools=ToolSet(mode=mode, tools=allowed)):
            tools = only_tools([ref.function.name for ref in allowed], tools)
            return mode_of(mode, tools, is_parallel)
    return mode_of(asked or "auto", tools, is_parallel)


def named_tool(name: str, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice]:
    only_tools([name], tools)
    return tools, ToolChoice(ToolMode.NAMED, name, at_most_one=True)


def only_tools(names: Sequence[str], tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    known = {tool.name for tool in tools}
    for name in names:
        if name not in known:
            raise invalid(f"tool_choice names {name!r}, which is none of the tools.", "tool_choice")
    return tuple(tool for tool in tools if tool.name in names)


def mode_of(mode: str, tools: tuple[Tool, ...], is_parallel: bool | None) -> tuple[tuple[Tool, ...], ToolChoice]:
    if mode == "required" and not tools:
        raise invalid("tool_choice is required, but there are no tools.", "tool_choice")
    return tools, ToolChoice(ToolMode(mode), at_most_one=is_parallel is False)


def constraint(
    asked: ResponseFormat | None, schema: dict[str, Any] | None, grammar: str | None
) -> tuple[str | None, str | None]:
    """A JSON schema as JSON text, or a grammar, or neither. Raises ApiError.

    ``schema`` and ``grammar`` are llama.cpp's ways to ask for them.
    """
    found = _wanted_schema(asked)
    if found is None and schema is not None:
        found = schema_text(schema, "json_schema")
    if found is not None and grammar:
        raise invalid("There may be a grammar or a JSON schema, not both.", "grammar")
    return found, grammar or None


def _wanted_schema(asked: ResponseFormat | None) -> str | None:
    """OpenAI puts the schema into ``json_schema``, llama.cpp beside ``type`` also for json_object."""
    match asked:
        case JsonObjectFormat(schema=schema):
            return schema_text(schema or {"type": "object"}, "response_format")
        case JsonSchemaFormat(json_schema=JsonSchema(schema=schema)):
            return schema_text(schema, "response_format")
    return None


def thinking_of(effort: Effort | None, settings: TemplateSettings | None) -> bool | None:
    """Whether the model is to reason: what a client says to the template counts more than how hard it should try."""
    if settings is not None:
        said = settings.enable_thinking if settings.enable_thinking is not None else settings.thinking
        if said is not None:
            return said
    return False if effort == "none" else None


_EFFORTS: dict[str, str] = {"minimal": "low", "low": "low", "medium": "medium"}


def effort_of(effort: Effort | None) -> str | None:
    """In the three words that templates know."""
    return None if effort in (None, "none") else _EFFORTS.get(effort, "high")
