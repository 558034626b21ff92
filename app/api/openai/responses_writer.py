"""Answers in the shape of OpenAI's responses, whole or as a stream of typed events."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.api.errors import ApiError
from app.api.openai.answers import Answer
from app.api.openai.messages import TextFormat
from app.api.openai.responses_output import Output
from app.api.openai.responses_request import ReasoningSettings, ResponseCall
from app.api.openai.responses_shapes import (
    Completed,
    Created,
    Failed,
    Incomplete,
    IncompleteDetails,
    InProgress,
    InputDetails,
    ResponseEvent,
    ResponseFailure,
    ResponseObject,
    ResponseUsage,
    ShownText,
)
from app.api.openai.shapes import OutputDetails, encode, timings
from engine.events import RequestFinished, TokensEmitted
from engine.types import ChatMessage, FinishReason, Role

_CUT = frozenset({FinishReason.MAX_TOKENS, FinishReason.CONTEXT_FULL})
_TEXT_DELTA = b"event: response.output_text.delta\ndata: "

Keep = Callable[[ResponseObject, ChatMessage], None]


class ResponseWriter:
    """Writes one answer. ``keep`` gets the complete response, and its answer as a message, before it goes out.

    The event of plain text is by far the most frequent one, so all of it that does not change is encoded once.
    """

    def __init__(self, call: ResponseCall, created_s: int, model: str, keep: Keep) -> None:
        self._response = _begun(call, created_s, model)
        self._keep = keep
        self._output = Output()
        self._answer = Answer()
        self._n_sent = 0
        self._delta = b""
        self._delta_item = ""
        self.is_ended = False

    def opening(self) -> bytes:
        return self._written([Created(self._response), InProgress(self._response)])

    def tokens(self, number: int, event: TokensEmitted) -> bytes:
        self._answer.add(event)
        message = self._output.open_message
        if message is None or event.reasoning or event.calls or event.logprobs:
            return self._written(self._output.add(event))
        if self._delta_item != message.id:
            self._delta_item, self._delta = message.id, _plain_start(message.id, message.index)
        message.note(event.text)
        number, self._n_sent = self._n_sent, self._n_sent + 1
        return self._delta + b'%d,"delta":' % number + encode(event.text) + b"}\n\n"

    def ending(self, number: int, finished: RequestFinished) -> bytes:
        is_cut = finished.reason in _CUT
        events = self._output.end("incomplete" if is_cut else "completed")
        self._end(finished)
        return self._written([*events, Incomplete(self._response) if is_cut else Completed(self._response)])

    def failing(self, error: ApiError) -> bytes:
        events = self._output.end("incomplete")
        self._response.status = "failed"
        self._response.output = self._output.items
        self._response.error = ResponseFailure("server_error", error.message)
        return self._written([*events, Failed(self._response)])

    def whole(self, events: list[TokensEmitted], finished: RequestFinished) -> bytes:
        """The response as one JSON object."""
        for event in events:
            self._answer.add(event)
            self._output.add(event)
        self._output.end("incomplete" if finished.reason in _CUT else "completed")
        self._end(finished)
        return encode(self._response)

    def _end(self, finished: RequestFinished) -> None:
        is_cut = finished.reason in _CUT
        response, answer = self._response, self._answer
        response.status = "incomplete" if is_cut else "completed"
        response.incomplete_details = IncompleteDetails("max_output_tokens") if is_cut else None
        response.completed_at = None if is_cut else int(time.time())
        response.output = self._output.items
        response.usage = _usage(finished, answer.n_reasoning)
        response.timings = timings(finished)
        self.is_ended = True
        self._keep(response, ChatMessage(Role.ASSISTANT, answer.text, answer.reasoning, answer.calls))

    def _written(self, events: list[ResponseEvent]) -> bytes:
        return b"".join(map(self._write, events))

    def _write(self, event: ResponseEvent) -> bytes:
        event.sequence_number = self._n_sent
        self._n_sent += 1
        return b"event: " + _name(event) + b"\ndata: " + encode(event) + b"\n\n"


def _name(event: ResponseEvent) -> bytes:
    tag = type(event).__struct_config__.tag
    assert isinstance(tag, str)
    return tag.encode()


def _plain_start(item_id: str, index: int) -> bytes:
    """An event of plain text up to its number and its text, which come last."""
    head = {"type": "response.output_text.delta", "item_id": item_id, "output_index": index, "content_index": 0}
    return _TEXT_DELTA + encode({**head, "logprobs": []})[:-1] + b',"sequence_number":'


def _begun(call: ResponseCall, created_s: int, model: str) -> ResponseObject:
    asked, sampling = call.asked, call.request.sampling
    wanted = asked.text.format if asked.text is not None else None
    return ResponseObject(
        id=call.request.id,
        created_at=created_s,
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        metadata=asked.metadata or {},
        model=model,
        output=[],
        parallel_tool_calls=asked.parallel_tool_calls is not False,
        previous_response_id=asked.previous_response_id,
        reasoning=asked.reasoning or ReasoningSettings(),
        store=call.is_kept,
        temperature=sampling.temperature,
        text=ShownText(wanted or TextFormat()),
        tool_choice=asked.tool_choice or "auto",
        tools=asked.tools or [],
        top_logprobs=asked.top_logprobs or 0,
        top_p=sampling.top_p,
        truncation=asked.truncation or "disabled",
    )


def _usage(finished: RequestFinished, n_reasoning: int) -> ResponseUsage:
    usage = finished.usage
    return ResponseUsage(
        usage.n_prompt,
        InputDetails(usage.n_cached, usage.n_prompt - usage.n_cached),
        usage.n_output,
        OutputDetails(n_reasoning),
        usage.n_context_used,
    )
