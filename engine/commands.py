"""What a client may ask of a worker, in the imperative."""

from __future__ import annotations

import msgspec

from engine.config import LoadSpec
from engine.types import ChatMessage, EmbeddingRequest, GenerationRequest, Overflow, RequestId


class Load(msgspec.Struct, frozen=True, tag=True):
    """Load a model. Sent once, first: a worker serves one model and ends with it."""

    spec: LoadSpec


class Submit(msgspec.Struct, frozen=True, tag=True):
    request: GenerationRequest


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop a request wherever it is; unknown and finished ones are ignored."""

    request_id: RequestId


class Embed(msgspec.Struct, frozen=True, tag=True):
    """Embedded answers, or RequestFailed."""

    request: EmbeddingRequest


class Count(msgspec.Struct, frozen=True, tag=True):
    """Say how many tokens a request's prompt has, and compute nothing. PromptCounted answers, or RequestFailed."""

    request: GenerationRequest


class ReadAhead(msgspec.Struct, frozen=True, tag=True):
    """Prefill what will probably be asked next, while nothing else is to be done. Each one replaces the one before.

    The messages end with what is being typed; none at all end the reading ahead. PromptMeasured answers.
    """

    conversation: str | None
    messages: tuple[ChatMessage, ...]
    overflow: Overflow = Overflow.STOP


class PinConversation(msgspec.Struct, frozen=True, tag=True):
    """A pinned conversation is the last to leave the cells, RAM and disk."""

    conversation: str
    is_pinned: bool


class DropConversation(msgspec.Struct, frozen=True, tag=True):
    """Forget what is kept of a conversation's KV cache, but for what others share. Its text is not touched."""

    conversation: str


class SetCacheBudgets(msgspec.Struct, frozen=True, tag=True):
    ram_bytes: int
    disk_bytes: int


class Shutdown(msgspec.Struct, frozen=True, tag=True):
    """Save what is remembered, within two seconds, and end. The end of the pipe means the same."""


Command = (
    Load | Submit | Cancel | Embed | Count | ReadAhead | PinConversation | DropConversation | SetCacheBudgets | Shutdown
)
