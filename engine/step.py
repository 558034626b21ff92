"""One step of the engine as values: what is to be computed, and what came of it.

The scheduler decides a :class:`StepPlan`, the backend turns it into a :class:`StepResult`, the core applies that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from engine.types import RequestId, SeqId, TokenId


@dataclass(frozen=True, slots=True)
class Trim:
    """Keep the first ``n_keep`` positions of a sequence and drop the rest. Zero empties it."""

    seq_id: SeqId
    n_keep: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one request at consecutive positions from ``start``. With ``sample``, the last one yields a token."""

    request_id: RequestId
    seq_id: SeqId
    start: int
    tokens: tuple[TokenId, ...]
    sample: bool

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)


@dataclass(frozen=True, slots=True)
class StepPlan:
    """First the trims, then all chunks in one batch."""

    trims: tuple[Trim, ...]
    chunks: tuple[Chunk, ...]

    @property
    def n_tokens(self) -> int:
        return sum(len(chunk.tokens) for chunk in self.chunks)


class StepStatus(Enum):
    """How a step ended. After anything but DONE none of its chunks' positions may be counted on."""

    DONE = auto()
    INTERRUPTED = auto()
    KV_REFUSED = auto()  # this model's cache cannot be trimmed there: the sequences of the trims are empty now
    NO_SPACE = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Sample:
    """A drawn token. ``is_finite`` is False where the model's logits were not numbers."""

    request_id: RequestId
    token: TokenId
    is_finite: bool = True


@dataclass(frozen=True, slots=True)
class StepResult:
    """``ended_s`` is the backend's monotonic clock when the step was done: the engine's core has none of its own."""

    status: StepStatus
    ended_s: float
    samples: tuple[Sample, ...] = ()
    detail: str = ""
