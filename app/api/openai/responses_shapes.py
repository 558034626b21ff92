"""OpenAI's response object, its items, and the events of a streamed one."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from app.api.openai.messages import TextFormat
from app.api.openai.responses_request import (
    AnyObjectFormat,
    FunctionChoice,
    FunctionTool,
    NamedSchemaFormat,
    ReasoningSettings,
)
from app.api.openai.shapes import Logprob, OutputDetails, Timings

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputTextPart(msgspec.Struct, tag_field="type", tag="output_text"):
    text: str
    annotations: list[str]
    logprobs: list[Logprob]


class ReasoningPart(msgspec.Struct, tag_field="type", tag="reasoning_text"):
    text: str


class MessageItem(msgspec.Struct, tag_field="type", tag="message"):
    id: str
    status: ItemStatus
    content: list[OutputTextPart]
    role: Literal["assistant"] = "assistant"


class ReasoningItem(msgspec.Struct, tag_field="type", tag="reasoning"):
    """``summary`` is always empty: what the model reasoned is there as it is."""

    id: str
    status: ItemStatus
    content: list[ReasoningPart]
    summary: list[str] = []


class CallItem(msgspec.Struct, tag_field="type", tag="function_call"):
    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


OutputItem: TypeAlias = MessageItem | ReasoningItem | CallItem
OutputPart: TypeAlias = OutputTextPart | ReasoningPart


class InputDetails(msgspec.Struct):
    cached_tokens: int
    cache_write_tokens: int


class ResponseUsage(msgspec.Struct):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class ResponseFailure(msgspec.Struct):
    code: Literal["server_error"]
    message: str


class IncompleteDetails(msgspec.Struct):
    reason: Literal["max_output_tokens"]


class ShownText(msgspec.Struct):
    format: TextFormat | AnyObjectFormat | NamedSchemaFormat


class ResponseObject(msgspec.Struct, kw_only=True):
    """``timings`` are llama-server's; they come when it has ended."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Literal["in_progress", "completed", "incomplete", "failed"] = "in_progress"
    background: bool = False
    error: ResponseFailure | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    reasoning: ReasoningSettings
    store: bool
    temperature: float
    text: ShownText
    tool_choice: FunctionChoice
    tools: list[FunctionTool]
    top_logprobs: int
    top_p: float
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage | None = None
    timings: Timings | UnsetType = UNSET


class Deleted(msgspec.Struct):
    id: str
    object: Literal["response"]
    deleted: bool


class Created(msgspec.Struct, tag_field="type", tag="response.created"):
    response: ResponseObject
    sequence_number: int = 0


class InProgress(msgspec.Struct, tag_field="type", tag="response.in_progress"):
    response: ResponseObject
    sequence_number: int = 0


class Completed(msgspec.Struct, tag_field="type", tag="response.completed"):
    response: ResponseObject
    sequence_number: int = 0


class Incomplete(msgspec.Struct, tag_field="type", tag="response.incomplete"):
    response: ResponseObject
    sequence_number: int = 0


class Failed(msgspec.Struct, tag_field="type", tag="response.failed"):
    response: ResponseObject
    sequence_number: int = 0


class ItemAdded(msgspec.Struct, tag_field="type", tag="response.output_item.added"):
    output_index: int
    item: OutputItem
    sequence_number: int = 0


class ItemDone(msgspec.Struct, tag_field="type", tag="response.output_item.done"):
    output_index: int
    item: OutputItem
    sequence_number: int = 0


class PartAdded(msgspec.Struct, tag_field="type", tag="response.content_part.added"):
    item_id: str
    output_index: int
    part: OutputPart
    content_index: int = 0
    sequence_number: int = 0


class PartDone(msgspec.Struct, tag_field="type", tag="response.content_part.done"):
    item_id: str
    output_index: int
    part: OutputPart
    content_index: int = 0
    sequence_number: int = 0


class OutputTextDelta(msgspec.Struct, tag_field="type", tag="response.output_text.delta"):
    item_id: str
    output_index: int
    delta: str
    logprobs: list[Logprob]
    content_index: int = 0
    sequence_number: int = 0


class OutputTextDone(msgspec.Struct, tag_field="type", tag="response.output_text.done"):
    item_id: str
    output_index: int
    text: str
    logprobs: list[Logprob]
    content_index: int = 0
    sequence_number: int = 0


class ReasoningDelta(msgspec.Struct, tag_field="type", tag="response.reasoning_text.delta"):
    item_id: str
    output_index: int
    delta: str
    content_index: int = 0
    sequence_number: int = 0


class ReasoningDone(msgspec.Struct, tag_field="type", tag="response.reasoning_text.done"):
    item_id: str
    output_index: int
    text: str
    content_index: int = 0
    sequence_number: int = 0


class ArgumentsDelta(msgspec.Struct, tag_field="type", tag="response.function_call_arguments.delta"):
    item_id: str
    output_index: int
    delta: str
    sequence_number: int = 0


class ArgumentsDone(msgspec.Struct, tag_field="type", tag="response.function_call_arguments.done"):
    item_id: str
    output_index: int
    name: str
    arguments: str
    sequence_number: int = 0


ResponseEvent: TypeAlias = (
    Created
    | InProgress
    | ItemAdded
    | PartAdded
    | OutputTextDelta
    | OutputTextDone
    | ReasoningDelta
    | ReasoningDone
    | PartDone
    | ArgumentsDelta
    | ArgumentsDone
    | ItemDone
    | Completed
    | Incomplete
    | Failed
)
