"""What a client may ask of a worker, in the imperative."""

from __future__ import annotations

import msgspec

from engine.config import LoadSpec
from engine.types import GenerationRequest, RequestId


class Load(msgspec.Struct, frozen=True, tag=True):
    """Load a model. Sent once, first: a worker serves one model and ends with it."""

    spec: LoadSpec


class Submit(msgspec.Struct, frozen=True, tag=True):
    request: GenerationRequest


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop a request wherever it is; unknown and finished ones are ignored."""

    request_id: RequestId


class Shutdown(msgspec.Struct, frozen=True, tag=True):
    """Finish now. The end of the pipe means the same."""


Command = Load | Submit | Cancel | Shutdown
