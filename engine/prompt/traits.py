"""Finds out what a chat template makes of tools, by giving it some and looking at what it writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.errors import KnownError
from engine.prompt.variables import Traits

Render = Callable[[dict[str, Any]], str]

_QUESTION = {"role": "user", "content": "Hi"}
_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "Probes.",
        "parameters": {"type": "object", "properties": {"probe_key": {"type": "string"}}, "required": ["probe_key"]},
    },
}
_RESULT = {"role": "tool", "content": "probe_result", "tool_call_id": "probe1234", "name": "probe_tool"}
_TEXT = '{"probe_key": "probe_value"}'


def probe(render: Render, source: str) -> Traits:
    """``render`` may raise what templates raise: a template that fails at a try does not know what it was given."""
    knows_tools = "probe_tool" in _try(render, [_QUESTION], [_TOOL])
    as_object = _try(render, [_QUESTION, _calling({"probe_key": "probe_value"}), _RESULT], [_TOOL])
    as_text = _try(render, [_QUESTION, _calling(_TEXT), _RESULT], [_TOOL])
    likes_objects = "probe_value" in as_object and "'probe_key'" not in as_object
    likes_text = _TEXT in as_text
    return Traits(
        knows_tools=knows_tools,
        writes_calls=likes_objects or likes_text,
        writes_results="probe_result" in (as_object if likes_objects else as_text or as_object),
        wants_text_arguments=likes_text and not likes_objects,
        wants_short_ids="[TOOL_CALLS]" in source,
    )


def _calling(arguments: object) -> dict[str, Any]:
    function = {"name": "probe_tool", "arguments": arguments}
    call = {"id": "probe1234", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _try(render: Render, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
    from jinja2 import TemplateError as JinjaError

    try:
        return render({"messages": messages, "tools": tools, "add_generation_prompt": True})
    except (KnownError, JinjaError):
        return ""
