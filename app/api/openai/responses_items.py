"""The items of OpenAI's responses, and the engine's messages that they become."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from app.api.errors import ApiError, invalid
from app.api.fields import Name, clean
from engine.types import ChatMessage, Role, ToolCall

_ROLES = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}


class InputText(msgspec.Struct, tag_field="type", tag="input_text"):
    text: str


class OutputText(msgspec.Struct, tag_field="type", tag="output_text"):
    text: str


class PlainText(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class ReasoningText(msgspec.Struct, tag_field="type", tag="reasoning_text"):
    text: str


class SummaryText(msgspec.Struct, tag_field="type", tag="summary_text"):
    text: str


class Refusal(msgspec.Struct, tag_field="type", tag="refusal"):
    refusal: str


Part: TypeAlias = InputText | OutputText | PlainText | ReasoningText | SummaryText | Refusal
Parts = str | list[Part]


class Item(msgspec.Struct):
    """Any item of the input. One without a type is a message; which fields it needs depends on the type."""

    type: Literal["message", "function_call", "function_call_output", "reasoning"] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Parts | None = None
    call_id: Name | None = None
    name: Name | None = None
    arguments: str | None = None
    output: Parts | None = None
    summary: list[Part] | None = None


Items = str | Annotated[list[Item], Meta(min_length=1, max_length=10_000)]


class Conversation:
    """Messages, as items are added to them.

    What a model reasons, says and calls in one turn are items of their own, and one message here.
    """

    def __init__(self, messages: Iterable[ChatMessage] = ()) -> None:
        self._messages = list(messages)
        self._reasoning = ""
        self._is_turn_open = False
        self._names = {call.id: call.name for message in self._messages for call in message.tool_calls}

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        return tuple(self._messages)

    def add(self, asked: str | Sequence[Item]) -> None:
        """Raises ApiError."""
        if isinstance(asked, str):
            self._say(Role.USER, clean(asked, "input"))
            return
        for n, item in enumerate(asked):
            self._add(item, f"input[{n}]")

    def _add(self, item: Item, where: str) -> None:
        match item.type:
            case "message":
                if item.role is None or item.content is None:
                    raise _missing("role" if item.role is None else "content", where)
                self._say(_ROLES[item.role], _text(item.content, f"{where}.content"))
            case "reasoning":
                self._end_turn()
                self._reasoning = _text(item.content or item.summary, f"{where}.content")
            case "function_call":
                self._call(item, where)
            case "function_call_output":
                self._end_turn()
                if item.call_id is None or item.output is None:
                    raise _missing("call_id" if item.call_id is None else "output", where)
                text, name = _text(item.output, f"{where}.output"), self._names.get(item.call_id)
                self._messages.append(ChatMessage(Role.TOOL, text, tool_call_id=item.call_id, name=name))

    def _say(self, role: Role, text: str) -> None:
        if role is not Role.ASSISTANT:
            self._end_turn()
            self._messages.append(ChatMessage(role, text))
            return
        self._end_turn(keeps_reasoning=True)
        self._messages.append(ChatMessage(role, text, self._reasoning))
        self._reasoning = ""
        self._is_turn_open = True

    def _call(self, item: Item, where: str) -> None:
        if item.call_id is None or item.name is None:
            raise _missing("call_id" if item.call_id is None else "name", where)
        call = ToolCall(item.call_id, item.name, clean(item.arguments or "{}", f"{where}.arguments"))
        self._names[call.id] = call.name
        if not self._is_turn_open:
            self._messages.append(ChatMessage(Role.ASSISTANT, "", self._reasoning))
            self._reasoning = ""
            self._is_turn_open = True
        message = self._messages[-1]
        self._messages[-1] = msgspec.structs.replace(message, tool_calls=(*message.tool_calls, call))

    def _end_turn(self, *, keeps_reasoning: bool = False) -> None:
        """What the assistant says next is a message of its own; reasoning that led to nothing is left out."""
        self._is_turn_open = False
        if not keeps_reasoning:
            self._reasoning = ""


def with_instructions(instructions: str, messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    """Before everything else. With a system message right after it they are one: many templates know one only."""
    if messages and messages[0].role is Role.SYSTEM:
        return (ChatMessage(Role.SYSTEM, f"{instructions}\n\n{messages[0].content}"), *messages[1:])
    return (ChatMessage(Role.SYSTEM, instructions), *messages)


def _text(parts: str | Sequence[Part] | None, where: str) -> str:
    if parts is None or isinstance(parts, str):
        return clean(parts or "", where)
    return clean("".join(part.refusal if isinstance(part, Refusal) else part.text for part in parts), where)


def _missing(name: str, where: str) -> ApiError:
    return invalid(f"{where}.{name} is missing.", f"{where}.{name}")
