"""One step of the engine as values: what is to be computed, and what came of it.

The scheduler decides a :class:`StepPlan`, the backend turns it into a :class:`StepResult`, the core applies that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from engine.types import RequestId, SeqId, TokenId


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
    """Chunks that are computed in one batch: the next tokens of running answers, and parts of prompts."""

    chunks: tuple[Chunk, ...]

    @property
    def n_tokens(self) -> int:
        return sum(len(chunk.tokens) for chunk in self.chunks)


class StepStatus(Enum):
    """How a step ended. After anything but DONE none of its chunks' positions may be counted on."""

    DONE = auto()
    INTERRUPTED = auto()
    NO_SPACE = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Sample:
    """A drawn token. ``is_finite`` is False where the model's logits were not numbers.

    ``logprob`` and ``best`` (token and log-probability, the best first) are there for requests that want them.
    """

    request_id: RequestId
    token: TokenId
    is_finite: bool = True
    logprob: float | None = None
    best: tuple[tuple[TokenId, float], ...] = ()


@dataclass(frozen=True, slots=True)
class StepResult:
    """Times are on the backend's monotonic clock: the engine's core has none of its own."""

    status: StepStatus
    started_s: float
    ended_s: float
    samples: tuple[Sample, ...] = ()
    detail: str = ""

    @property
    def seconds(self) -> float:
        return self.ended_s - self.started_s
