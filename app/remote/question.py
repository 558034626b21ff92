"""Requests as the body that OpenAI's protocol has for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.remote.errors import RemoteError, Told
from app.remote.types import OfferedModel
from engine.errors import InvalidRequest
from engine.types import ChatMessage, GenerationRequest, Role, SamplingParams, Tool, ToolChoice, ToolMode

_WISHES = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "stream_options")
"""OpenAI's own fields that an answer can be made without; some models take only one value of them."""

_EXTRAS: tuple[tuple[str, str, float], ...] = (
    ("top_k", "top_k", 0),
    ("min_p", "min_p", 0.0),
    ("typical_p", "typical_p", 1.0),
    ("repeat_penalty", "repeat_penalty", 1.0),  # llama.cpp's name
    ("repeat_penalty", "repetition_penalty", 1.0),  # vLLM's and SGLang's name
    ("repeat_last_n", "repeat_last_n", SamplingParams().repeat_last_n),
    ("dry_multiplier", "dry_multiplier", 0.0),
    ("dry_base", "dry_base", SamplingParams().dry_base),
    ("dry_allowed_length", "dry_allowed_length", SamplingParams().dry_allowed_length),
    ("dry_last_n", "dry_penalty_last_n", SamplingParams().dry_last_n),
    ("xtc_probability", "xtc_probability", 0.0),
    ("xtc_threshold", "xtc_threshold", SamplingParams().xtc_threshold),
    ("mirostat", "mirostat", 0),
    ("mirostat_tau", "mirostat_tau", SamplingParams().mirostat_tau),
    ("mirostat_eta", "mirostat_eta", SamplingParams().mirostat_eta),
)
"""Our name, the server's, and the value that changes nothing or that the server takes by itself."""

_OTHER_EXTRAS = ("chat_template_kwargs", "reasoning_effort")
_EXTRA_NAMES = frozenset(name for _, name, _ in _EXTRAS) | set(_OTHER_EXTRAS)
_LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"
_KNOWS_GRAMMARS = frozenset({"llamacpp", "hearth"})


@dataclass(slots=True)
class Manners:
    """Which fields a server has refused so far. It is spared them from then on."""

    refused: set[str] = field(default_factory=set)

    def learn(self, sent: Mapping[str, Any], told: Told) -> bool:
        """Whether the same request may be sent again, with less. All extras go with the first one that is refused."""
        named = _named(sent, told)
        if named is None:
            return False
        news = _EXTRA_NAMES.intersection(sent) if named in _EXTRA_NAMES else {named}
        self.refused |= news
        return True

    def applied(self, body: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in body.items() if name not in self.refused}
        if _LIMIT in self.refused and _LIMIT in body and _NEW_LIMIT not in self.refused:
            kept[_NEW_LIMIT] = body[_LIMIT]
        return kept


def question_body(request: GenerationRequest, messages: Iterable[ChatMessage], model: OfferedModel) -> dict[str, Any]:
    """Everything that is to be asked; ``messages`` may be fewer than the request's. Raises KnownError."""
    sampling = request.sampling
    body: dict[str, Any] = {"model": model.name, "stream": True, "stream_options": {"include_usage": True}}
    if request.prompt is None:
        body["messages"] = [_message(message) for message in messages]
        body |= _chat_fields(request)
    else:
        body["prompt"] = request.prompt
    if request.max_tokens is not None:
        body[_LIMIT] = request.max_tokens
    if request.stop:
        body["stop"] = list(request.stop)
    return body | _sampling(sampling) | _constraints(sampling, model) | _logprobs(request)


def _chat_fields(request: GenerationRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if request.tools:
        fields["tools"] = [_tool(tool) for tool in request.tools]
        fields["tool_choice"] = _tool_choice(request.tool_choice)
        if request.tool_choice.at_most_one:
            fields["parallel_tool_calls"] = False
    if request.continues:
        fields |= {"continue_final_message": True, "add_generation_prompt": False}
    if request.thinking is not None:
        fields["chat_template_kwargs"] = {"enable_thinking": request.thinking}
    if request.reasoning_effort is not None:
        fields["reasoning_effort"] = request.reasoning_effort
    return fields


def _sampling(sampling: SamplingParams) -> dict[str, Any]:
    fields: dict[str, Any] = {"temperature": sampling.temperature}
    for name, neutral in (("top_p", 1.0), ("frequency_penalty", 0.0), ("presence_penalty", 0.0), ("seed", None)):
        value = getattr(sampling, name)
        if value != neutral:
            fields[name] = value
    if sampling.logit_bias:
        fields["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias}
    for ours, theirs, neutral_number in _EXTRAS:
        value = getattr(sampling, ours)
        if value != neutral_number:
            fields[theirs] = value
    return fields


def _constraints(sampling: SamplingParams, model: OfferedModel) -> dict[str, Any]:
    """Raises KnownError: an answer without the form that was asked for is worse than none."""
    if sampling.json_schema is not None:
        schema = {"name": "answer", "strict": True, "schema": _parsed(sampling.json_schema, "The JSON schema")}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if sampling.grammar is None:
        return {}
    if model.owner not in _KNOWS_GRAMMARS:
        raise RemoteError(f"The server of {model.name} takes no grammar.", "Use a JSON schema.", kind="InvalidRequest")
    return {"grammar": sampling.grammar}


def _logprobs(request: GenerationRequest) -> dict[str, Any]:
    n_logprobs = request.sampling.n_logprobs
    if n_logprobs is None:
        return {}
    return {"logprobs": True, "top_logprobs": n_logprobs} if request.prompt is None else {"logprobs": n_logprobs}


def _message(message: ChatMessage) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role.value, "content": message.content}
    if message.role is Role.TOOL:
        fields["tool_call_id"] = message.tool_call_id or ""
    elif message.tool_calls:
        fields["content"] = message.content or None
        fields["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.name:
        fields["name"] = message.name
    return fields


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = _parsed(tool.parameters, f"The parameters of {tool.name}")
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


def _tool_choice(choice: ToolChoice) -> Any:
    if choice.mode is ToolMode.NAMED:
        return {"type": "function", "function": {"name": choice.name or ""}}
    return choice.mode.value


def _parsed(text: str, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{what} is not JSON: {error}.") from error


def _named(sent: Mapping[str, Any], told: Told) -> str | None:
    """The field that was sent, may be left out, and is what the server complains of."""
    candidates = [name for name in (*_WISHES, *_EXTRA_NAMES, _LIMIT) if name in sent]
    if told.param in candidates:
        return told.param
    return next((name for name in candidates if re.search(rf"(?<![\w.]){name}(?!\w)", told.message)), None)
