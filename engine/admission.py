"""What a request must be like to be taken on, before anything is rendered or computed."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import InvalidRequest
from engine.types import GenerationRequest, Role, ToolMode

MAX_PROMPT_CHARS = 16_000_000
MAX_STOP_STRINGS = 16
MAX_STOP_CHARS = 1_000
MAX_ADAPTERS = 8
MAX_ADAPTER_SCALE = 16.0


def check_request(request: GenerationRequest) -> None:
    """Raises InvalidRequest."""
    for find in _PROBLEMS:
        if problem := find(request):
            raise InvalidRequest(problem)


def _settings_problem(request: GenerationRequest) -> str | None:
    if request.max_tokens is not None and request.max_tokens < 1:
        return "max_tokens must be at least 1."
    if len(request.stop) > MAX_STOP_STRINGS or any(not 0 < len(stop) <= MAX_STOP_CHARS for stop in request.stop):
        return f"There may be {MAX_STOP_STRINGS} stop strings of 1 to {MAX_STOP_CHARS} characters."
    return _adapters_problem(request) or request.sampling.problem()


def _adapters_problem(request: GenerationRequest) -> str | None:
    paths = {use.path for use in request.adapters}
    if len(request.adapters) > MAX_ADAPTERS or len(paths) < len(request.adapters):
        return f"There may be {MAX_ADAPTERS} adapters, each of them once."
    if any(not abs(use.scale) <= MAX_ADAPTER_SCALE for use in request.adapters):
        return f"An adapter's scale must lie between -{MAX_ADAPTER_SCALE:g} and {MAX_ADAPTER_SCALE:g}."
    return None


def _prompt_problem(request: GenerationRequest) -> str | None:
    if request.prompt is None and not request.messages:
        return "There is no message to answer."
    if request.prompt is None:
        return None
    if request.messages:
        return "There may be messages or a prompt, not both."
    if request.tools or request.continues:
        return "A prompt without messages offers no tools, and continues no message."
    return "The prompt is too long." if len(request.prompt) > MAX_PROMPT_CHARS else None


def _messages_problem(request: GenerationRequest) -> str | None:
    n_chars = sum(len(message.content) + len(message.reasoning) for message in request.messages)
    calls = [call for message in request.messages for call in message.tool_calls]
    n_chars += sum(len(call.name) + len(call.arguments) for call in calls)
    n_chars += sum(len(tool.name) + len(tool.description) + len(tool.parameters) for tool in request.tools)
    if n_chars > MAX_PROMPT_CHARS:
        return f"The conversation is longer than {MAX_PROMPT_CHARS:,} characters."
    if any(message.tool_calls and message.role is not Role.ASSISTANT for message in request.messages):
        return "Only messages of the assistant hold calls of tools."
    if request.continues and (request.messages[-1].role is not Role.ASSISTANT or request.messages[-1].tool_calls):
        return "Only a text of the assistant can be continued, and it must be the last message."
    return None


def _tools_problem(request: GenerationRequest) -> str | None:
    choice, sampling = request.tool_choice, request.sampling
    if choice.mode not in {ToolMode.REQUIRED, ToolMode.NAMED}:
        return None
    if not request.tools:
        return "A tool must be called, but none is offered."
    if choice.mode is ToolMode.NAMED and choice.name not in {tool.name for tool in request.tools}:
        return f"The tool that must be called, {choice.name or 'without a name'}, is not offered."
    if sampling.grammar is not None or sampling.json_schema is not None:
        return "An answer that must call a tool cannot follow a grammar or a JSON schema."
    return None


_PROBLEMS: tuple[Callable[[GenerationRequest], str | None], ...] = (
    _settings_problem,
    _prompt_problem,
    _messages_problem,
    _tools_problem,
)
