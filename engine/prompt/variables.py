"""What a chat template is given: messages and tools as Hugging Face's ``apply_chat_template`` passes them.

Everything that strangers wrote, down to the keys of a schema, goes through ``protect`` first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import InvalidRequest
from engine.types import ChatMessage, Role, Tool, ToolCall

Protect = Callable[[str], str]

MAX_DEPTH = 64
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
"""What the families call the reasoning of a message: Qwen and most others, gpt-oss, and a few."""

_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")
_BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """What a prompt is made of beside its messages. ``continues``: the last message is the beginning of the answer."""

    tools: tuple[Tool, ...] = ()
    thinking: bool | None = None
    reasoning_effort: str | None = None
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Traits:
    """What a template makes of tools; templates differ in whether they want arguments as an object or as text."""

    knows_tools: bool = False
    writes_calls: bool = False
    writes_results: bool = False
    wants_text_arguments: bool = False
    wants_short_ids: bool = False


def tool_variables(tools: Sequence[Tool], protect: Protect) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": protect(tool.name),
                "description": protect(tool.description),
                "parameters": _protected(_parsed(tool.parameters, f"The parameters of {tool.name}"), protect),
            },
        }
        for tool in tools
    ]


def message_variables(messages: Sequence[ChatMessage], traits: Traits, protect: Protect) -> list[dict[str, Any]]:
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    return [_message(message, names, traits, protect) for message in messages]


def option_variables(options: PromptOptions) -> dict[str, Any]:
    """By the names that the families' templates use."""
    variables: dict[str, Any] = {}
    if options.thinking is not None:
        variables |= {"enable_thinking": options.thinking, "thinking": options.thinking}
    if options.reasoning_effort is not None:
        variables["reasoning_effort"] = options.reasoning_effort
    return variables


def _message(message: ChatMessage, names: dict[str, str], traits: Traits, protect: Protect) -> dict[str, Any]:
    variables: dict[str, Any] = {"role": message.role.value, "content": protect(message.content)}
    if message.reasoning:
        variables |= dict.fromkeys(REASONING_KEYS, protect(message.reasoning))
    if message.tool_calls:
        variables["tool_calls"] = [_call(call, traits, protect) for call in message.tool_calls]
    if message.role is Role.TOOL:
        call_id = message.tool_call_id or ""
        variables["tool_call_id"] = _call_id(call_id, traits, protect)
        variables["name"] = protect(message.name or names.get(call_id, "tool"))
    elif message.name:
        variables["name"] = protect(message.name)
    return variables


def _call(call: ToolCall, traits: Traits, protect: Protect) -> dict[str, Any]:
    text = call.arguments.strip() or "{}"
    arguments = protect(text) if traits.wants_text_arguments else _protected(_argument_object(text), protect)
    function = {"name": protect(call.name), "arguments": arguments}
    return {"id": _call_id(call.id, traits, protect), "type": "function", "function": function}


def _argument_object(text: str) -> Any:
    """What a model wrote may be no JSON at all; it is shown what it wrote."""
    try:
        value = _parsed(text, "The arguments of a call")
    except InvalidRequest:
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}


def _call_id(call_id: str, traits: Traits, protect: Protect) -> str:
    """Mistral's templates refuse ids that are not nine letters or digits."""
    if not traits.wants_short_ids or _SHORT_ID.fullmatch(call_id):
        return protect(call_id)
    digest = hashlib.blake2b(call_id.encode(errors="replace"), digest_size=9).digest()
    return "".join(_BASE_62[byte % 62] for byte in digest)


def _parsed(text: str, what: str) -> Any:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{what} are not valid JSON.") from error
    if _is_deeper(value, MAX_DEPTH):
        raise InvalidRequest(f"{what} are nested more than {MAX_DEPTH} deep.")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [child for item in level for child in _children(item)]
    return bool(level)


def _children(item: Any) -> Sequence[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else ()


def _protected(value: Any, protect: Protect) -> Any:
    if isinstance(value, str):
        return protect(value)
    if isinstance(value, dict):
        return {protect(key): _protected(child, protect) for key, child in value.items()}
    return [_protected(child, protect) for child in value] if isinstance(value, list) else value
