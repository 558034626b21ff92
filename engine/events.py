"""What happened, in the past tense. Events are facts: frozen, complete, and in the order they happened.

For every submitted request a client sees exactly one of RequestFinished or RequestFailed, whatever dies.
"""

from __future__ import annotations

import msgspec

from engine.errors import ErrorInfo
from engine.types import FinishReason, ModelInfo, RequestId, Timings, Usage


class ModelLoading(msgspec.Struct, frozen=True, tag=True):
    """``progress`` is between 0 and 1; the first one comes before the worker has started."""

    path: str
    progress: float


class ModelLoaded(msgspec.Struct, frozen=True, tag=True):
    info: ModelInfo


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
    """The request left the queue; its prompt has ``n_prompt`` tokens, ``n_cached`` of them read already."""

    request_id: RequestId
    n_prompt: int
    n_cached: int


class PrefillProgressed(msgspec.Struct, frozen=True, tag=True):
    """``n_done`` of ``n_prompt`` prompt tokens are in the KV cache."""

    request_id: RequestId
    n_done: int
    n_prompt: int


class TokensEmitted(msgspec.Struct, frozen=True, tag=True):
    """Text that is final: whole characters, no stop string in it. ``n_tokens`` counts output so far."""

    request_id: RequestId
    text: str
    n_tokens: int


class RequestFinished(msgspec.Struct, frozen=True, tag=True):
    request_id: RequestId
    reason: FinishReason
    usage: Usage
    timings: Timings


class RequestFailed(msgspec.Struct, frozen=True, tag=True):
    """What was streamed before stays valid. ``usage`` is not known."""

    request_id: RequestId
    error: ErrorInfo


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """The worker lives. ``n_steps`` grows while it makes progress; ``busy`` says whether it has work.

    Clients use it to tell a slow worker from a hung one and do not pass it on.
    """

    n_steps: int
    busy: bool


Event = (
    ModelLoading
    | ModelLoaded
    | LoadFailed
    | ModelUnloaded
    | EngineFailed
    | RequestStarted
    | PrefillProgressed
    | TokensEmitted
    | RequestFinished
    | RequestFailed
    | Heartbeat
)
