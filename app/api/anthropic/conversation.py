"""Anthropic's messages as the engine's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from app.api.anthropic.blocks import (
    RedactedThinkingBlock,
    Text,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from app.api.body import check_depth
from app.api.errors import invalid
from app.api.fields import clean
from engine.types import ChatMessage, Role, ToolCall

_PARAGRAPH = "\n\n"


class UserTurn(msgspec.Struct, tag_field="role", tag="user"):
    content: str | list[TextBlock | ToolResultBlock]


class AssistantTurn(msgspec.Struct, tag_field="role", tag="assistant"):
    content: str | list[TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock]


class SystemTurn(msgspec.Struct, tag_field="role", tag="system"):
    content: Text


Turn: TypeAlias = UserTurn | AssistantTurn | SystemTurn


def conversation(system: Text | None, turns: Sequence[Turn]) -> tuple[ChatMessage, ...]:
    """Raises ApiError.

    An assistant's message at the end is the beginning of the answer; an empty one is left out.
    """
    messages = [ChatMessage(Role.SYSTEM, _text(system, "system", _PARAGRAPH))] if system else []
    names: dict[str, str] = {}
    for n, turn in enumerate(turns):
        where = f"messages[{n}].content"
        match turn:
            case UserTurn(content=content):
                messages += _user(content, where, names)
            case AssistantTurn(content=content):
                messages.append(_assistant(content, where, names))
            case SystemTurn(content=content):
                messages.append(ChatMessage(Role.SYSTEM, _text(content, where, _PARAGRAPH)))
    *before, last = messages
    if last.tool_calls:
        raise invalid("messages end with a tool_use that has no tool_result.", "messages")
    is_empty = last.role is Role.ASSISTANT and not last.content and not last.reasoning
    return tuple(before if is_empty and before else messages)


def _user(content: str | Sequence[TextBlock | ToolResultBlock], where: str, names: dict[str, str]) -> list[ChatMessage]:
    """Results of tools come first, where models look for them: right after the calls."""
    if isinstance(content, str):
        return [ChatMessage(Role.USER, clean(content, where))]
    text = [block for block in content if isinstance(block, TextBlock)]
    results = [
        _result(block, f"{where}[{n}]", names) for n, block in enumerate(content) if isinstance(block, ToolResultBlock)
    ]
    return [*results, ChatMessage(Role.USER, _text(text, where))] if text or not results else results


def _result(block: ToolResultBlock, where: str, names: dict[str, str]) -> ChatMessage:
    """``names`` are those of the tools that were called so far, by the id of the call."""
    name = names.get(block.tool_use_id)
    if name is None:
        raise invalid(f"{where}.tool_use_id is that of no tool_use before it.", f"{where}.tool_use_id")
    text = _text(block.content or "", f"{where}.content")
    if block.is_error:
        text = f"Error: {text}"  # no template has a place of its own for it
    return ChatMessage(Role.TOOL, text, tool_call_id=block.tool_use_id, name=name)


def _assistant(
    content: str | Sequence[TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock],
    where: str,
    names: dict[str, str],
) -> ChatMessage:
    if isinstance(content, str):
        return ChatMessage(Role.ASSISTANT, clean(content, where))
    thoughts = (block.thinking for block in content if isinstance(block, ThinkingBlock))
    calls = tuple(_call(block, f"{where}[{n}]") for n, block in enumerate(content) if isinstance(block, ToolUseBlock))
    names |= {call.id: call.name for call in calls}
    text = _text([block for block in content if isinstance(block, TextBlock)], where)
    return ChatMessage(Role.ASSISTANT, text, clean("".join(thoughts), where), calls)


def _call(block: ToolUseBlock, where: str) -> ToolCall:
    check_depth(block.input, f"{where}.input")
    arguments = msgspec.json.encode(block.input).decode()
    return ToolCall(clean(block.id, f"{where}.id"), clean(block.name, f"{where}.name"), arguments)


def _text(content: Text, where: str, between: str = "") -> str:
    return clean(content if isinstance(content, str) else between.join(block.text for block in content), where)
