"""Tools for models whose template knows none: described in plain words, called in a simple form.

The form is the one that most models have seen: ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``, and
``<tool_response>...</tool_response>`` for what comes of it. ``engine.formats`` reads it as its form "plain".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec

from engine.types import ChatMessage, Role, Tool

_INTRODUCTION = """\
You can use these tools:

{tools}

To use a tool, answer with this and nothing else, once for each call:
<tool_call>
{{"name": "name of the tool", "arguments": {{"name of a parameter": "its value"}}}}
</tool_call>
The result follows between <tool_response> and </tool_response>. If no tool helps, answer as usual."""


def describe_tools(messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> list[ChatMessage]:
    """The tools in the system message, which is made where there is none."""
    lines = (
        f'{{"name": {_quoted(tool.name)}, "description": {_quoted(tool.description)}, "parameters": {tool.parameters}}}'
        for tool in tools
    )
    text = _INTRODUCTION.format(tools="\n".join(lines))
    if messages and messages[0].role is Role.SYSTEM:
        system = msgspec.structs.replace(messages[0], content=f"{messages[0].content}\n\n{text}")
        return [system, *messages[1:]]
    return [ChatMessage(Role.SYSTEM, text), *messages]


def write_calls(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Calls as part of the text of the message that makes them."""
    return [_with_calls(message) if message.tool_calls else message for message in messages]


def write_results(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Results as messages of the user, those of one turn together."""
    return list(_with_results(messages))


def _with_calls(message: ChatMessage) -> ChatMessage:
    calls = (
        f'<tool_call>\n{{"name": {_quoted(call.name)}, "arguments": {call.arguments or "{}"}}}\n</tool_call>'
        for call in message.tool_calls
    )
    content = "\n".join(filter(None, (message.content, *calls)))
    return msgspec.structs.replace(message, content=content, tool_calls=())


def _with_results(messages: Sequence[ChatMessage]) -> Iterator[ChatMessage]:
    results: list[str] = []
    for message in messages:
        if message.role is Role.TOOL:
            results.append(f"<tool_response>\n{message.content}\n</tool_response>")
            continue
        if results:
            yield ChatMessage(Role.USER, "\n".join(results))
            results = []
        yield message
    if results:
        yield ChatMessage(Role.USER, "\n".join(results))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
