"""What happened, in the past tense. Events are facts: frozen, complete, and in the order they happened.

For every submitted request a client sees exactly one of RequestFinished or RequestFailed, whatever dies.
"""

from __future__ import annotations

import msgspec

from engine.errors import ErrorInfo
from engine.receipt import DeviceMemory, Receipt
from engine.reuse import ConversationCache, KvUsage, ReuseReport
from engine.types import DraftReport, FinishReason, ModelInfo, RequestId, Timings, TokenLogprob, ToolCallPart, Usage


class ModelLoading(msgspec.Struct, frozen=True, tag=True):
    """``progress`` is between 0 and 1; the first one comes before the worker has started."""

    path: str
    progress: float


class ModelLoaded(msgspec.Struct, frozen=True, tag=True):
    """``receipt`` is None where a server elsewhere has the model."""

    info: ModelInfo
    receipt: Receipt | None = None


class PlanReduced(msgspec.Struct, frozen=True, tag=True):
    """Memory ran out, and the model is loaded anew with less; ModelLoading follows. ``sentence`` says what changed."""

    path: str
    sentence: str


class DevicesRead(msgspec.Struct, frozen=True, tag=True):
    """What the devices have left while a model is loaded. At most once a second, and only when it changed.

    ``own_bytes`` is what this worker's buffers have of each, in the same order.
    """

    devices: tuple[DeviceMemory, ...]
    own_bytes: tuple[int, ...]


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """The model is not loaded and will not be tried again by itself."""

    path: str
    error: ErrorInfo


class ModelUnloaded(msgspec.Struct, frozen=True, tag=True):
    """Its memory is given back: the worker process is gone."""

    path: str


class EngineFailed(msgspec.Struct, frozen=True, tag=True):
    """The worker died or hung. ``restarting`` tells whether ModelLoading follows by itself."""

    path: str
    error: ErrorInfo
    restarting: bool


class RequestStarted(msgspec.Struct, frozen=True, tag=True):
    """The request left the queue; its prompt has ``n_prompt`` tokens, ``n_cached`` of them read already.

    ``n_dropped`` of its oldest messages were left out because the context is full; the model does not see them.
    """

    request_id: RequestId
    n_prompt: int
    n_cached: int
    n_dropped: int = 0


class PrefillProgressed(msgspec.Struct, frozen=True, tag=True):
    """``n_done`` of ``n_prompt`` prompt tokens are in the KV cache."""

    request_id: RequestId
    n_done: int
    n_prompt: int


class TokensEmitted(msgspec.Struct, frozen=True, tag=True):
    """Text that is final: whole characters, no stop string in it. ``n_tokens`` counts output so far.

    What a model marks as reasoning comes as ``reasoning``, calls of tools as ``calls``, and neither is in ``text``.
    """

    request_id: RequestId
    text: str
    n_tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    reasoning: str = ""
    calls: tuple[ToolCallPart, ...] = ()


class RequestFinished(msgspec.Struct, frozen=True, tag=True):
    """``reuse`` tells where the prompt's tokens came from; None for a request that never ran."""

    request_id: RequestId
    reason: FinishReason
    usage: Usage
    timings: Timings
    reuse: ReuseReport | None = None
    stop_string: str | None = None
    """The one that ended the text, where the reason is STOP_STRING."""

    drafting: DraftReport | None = None
    """None where nothing is drafted at all."""


class RequestFailed(msgspec.Struct, frozen=True, tag=True):
    """What was streamed before stays valid. ``usage`` is not known."""

    request_id: RequestId
    error: ErrorInfo


class Embedded(msgspec.Struct, frozen=True, tag=True):
    """A vector for each input, in order: 32-bit little-endian floats, of length 1 in the Euclidean norm."""

    request_id: RequestId
    vectors: tuple[bytes, ...]
    n_tokens: int


class PromptCounted(msgspec.Struct, frozen=True, tag=True):
    request_id: RequestId
    n_tokens: int
    n_ctx: int


class PromptMeasured(msgspec.Struct, frozen=True, tag=True):
    """How long the prompt of a ReadAhead is, before it is sent. ``n_dropped`` as in RequestStarted."""

    conversation: str | None
    n_tokens: int
    n_ctx: int
    n_dropped: int


class CacheChanged(msgspec.Struct, frozen=True, tag=True):
    """What is remembered of which conversation, and where. At most twice a second, and only when it changed."""

    conversations: tuple[ConversationCache, ...]
    usage: KvUsage


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """The worker lives. ``n_steps`` grows while it makes progress; ``busy`` says whether it has work.

    Clients use it to tell a slow worker from a hung one and do not pass it on.
    """

    n_steps: int
    busy: bool


Event = (
    ModelLoading
    | ModelLoaded
    | PlanReduced
    | DevicesRead
    | LoadFailed
    | ModelUnloaded
    | EngineFailed
    | RequestStarted
    | PrefillProgressed
    | TokensEmitted
    | RequestFinished
    | RequestFailed
    | Embedded
    | PromptCounted
    | PromptMeasured
    | CacheChanged
    | Heartbeat
)
