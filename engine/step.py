"""One step of the engine as values: what is to be computed, and what came of it.

The scheduler decides a :class:`StepPlan`, the backend turns it into a :class:`StepResult`, the core applies that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from engine.errors import ErrorInfo
from engine.types import RequestId, SeqId, TokenId


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one request at consecutive positions from ``start``. With ``sample``, the last one yields a token.

    The last ``n_drafted`` of them are only guessed: the step says which of them hold, and takes the others back.
    """

    request_id: RequestId
    seq_id: SeqId
    start: int
    tokens: tuple[TokenId, ...]
    sample: bool
    n_drafted: int = 0

    @property
    def known(self) -> tuple[TokenId, ...]:
        """The tokens that are not guessed."""
        return self.tokens[: len(self.tokens) - self.n_drafted]

    def following(self, token: TokenId) -> Chunk:
        """The token that it yielded, as what is to be computed next."""
        return Chunk(self.request_id, self.seq_id, self.end, (token,), self.sample)

    @property
    def drafted(self) -> tuple[TokenId, ...]:
        return self.tokens[len(self.tokens) - self.n_drafted :]

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Chunks that are computed in one batch: the next tokens of running answers, and parts of prompts.

    Where every chunk yields a token and drafts nothing, the backend may go on by itself, ``n_rounds`` times in all:
    each round computes the tokens that the one before it yielded. It stops sooner when an answer ends. Between two
    batches of weights everything else has left the caches, so that a decision costs ten times what it would in a row
    of them.
    """

    chunks: tuple[Chunk, ...]
    n_rounds: int = 1

    @property
    def n_tokens(self) -> int:
        return sum(len(chunk.tokens) for chunk in self.chunks)

    @property
    def n_drafted(self) -> int:
        return sum(chunk.n_drafted for chunk in self.chunks)


class StepStatus(Enum):
    """How a step ended. After anything but DONE none of its chunks' positions may be counted on."""

    DONE = auto()
    INTERRUPTED = auto()
    NO_SPACE = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Sample:
    """A drawn token. ``is_finite`` is False where there is none: the model's logits were not numbers, or ``problem``.

    ``logprob`` and ``best`` (token and log-probability, the best first) are there for requests that want them.
    """

    request_id: RequestId
    token: TokenId
    is_finite: bool = True
    logprob: float | None = None
    best: tuple[tuple[TokenId, float], ...] = ()
    problem: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """Times are on the backend's monotonic clock: the engine's core has none of its own.

    ``samples`` of several rounds stand one round after the other, those of a verified draft in order. Of each request
    all but the last one are computed.
    """

    status: StepStatus
    started_s: float
    ended_s: float
    samples: tuple[Sample, ...] = ()
    detail: str = ""
    n_rounds: int = 1

    @property
    def seconds(self) -> float:
        return self.ended_s - self.started_s
