"""Ollama's messages and tools as the engine's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.api.body import check_depth
from app.api.errors import invalid
from app.api.fields import MAX_TOOLS, Name, ToolName, clean
from app.api.fields import tool as checked_tool
from engine.types import ChatMessage, Role, Tool, ToolCall

NoImages = Annotated[list[str], Meta(max_length=0)]


class TurnFunction(msgspec.Struct):
    name: Name
    arguments: dict[str, Any]


class TurnCall(msgspec.Struct):
    """Older clients know no ``id``."""

    function: TurnFunction
    id: Name | None = None


class ChatTurn(msgspec.Struct):
    """A message of role tool is the result of the function ``tool_name``, or of the call ``tool_call_id``."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    tool_calls: Annotated[list[TurnCall], Meta(max_length=MAX_TOOLS)] | None = None
    tool_name: Name | None = None
    tool_call_id: Name | None = None
    images: NoImages | None = None


class ToolFunction(msgspec.Struct):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ChatTool(msgspec.Struct):
    function: ToolFunction
    type: Literal["function"] | None = None


def conversation(turns: Sequence[ChatTurn]) -> tuple[ChatMessage, ...]:
    """Raises ApiError."""
    found: list[ChatMessage] = []
    waiting: list[ToolCall] = []
    for n, turn in enumerate(turns):
        found.append(_message(turn, f"messages[{n}]", len(found), waiting))
        waiting += found[-1].tool_calls
    if found and found[-1].tool_calls:
        raise invalid("messages end with tool_calls that have no result.", "messages")
    return tuple(found)


def tools_of(asked: Sequence[ChatTool] | None) -> tuple[Tool, ...]:
    """Raises ApiError."""
    return tuple(
        checked_tool(tool.function.name, tool.function.description, tool.function.parameters, f"tools[{n}].function")
        for n, tool in enumerate(asked or ())
    )


def _message(turn: ChatTurn, where: str, n_before: int, waiting: list[ToolCall]) -> ChatMessage:
    """``waiting`` are the calls whose results have not come yet; a result takes its own away."""
    content = clean(turn.content or "", f"{where}.content")
    match turn.role:
        case "tool":
            call = _answered(turn, waiting)
            name = turn.tool_name or (call.name if call else None)
            return ChatMessage(Role.TOOL, content, tool_call_id=call.id if call else turn.tool_call_id, name=name)
        case "assistant":
            calls = tuple(
                _call(call, f"{where}.tool_calls[{n}]", f"call_{n_before}_{n}")
                for n, call in enumerate(turn.tool_calls or ())
            )
            return ChatMessage(Role.ASSISTANT, content, clean(turn.thinking or "", f"{where}.thinking"), calls)
    return ChatMessage(Role(turn.role), content)


def _answered(turn: ChatTurn, waiting: list[ToolCall]) -> ToolCall | None:
    """By id, else by name, else the one that waits longest."""
    for number, call in enumerate(waiting):
        if turn.tool_call_id == call.id if turn.tool_call_id else turn.tool_name in (None, call.name):
            return waiting.pop(number)
    return None


def _call(call: TurnCall, where: str, new_id: str) -> ToolCall:
    arguments = call.function.arguments
    check_depth(arguments, f"{where}.function.arguments")
    name = clean(call.function.name, f"{where}.function.name")
    return ToolCall(clean(call.id or new_id, f"{where}.id"), name, msgspec.json.encode(arguments).decode())
