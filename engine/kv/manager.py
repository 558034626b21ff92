"""The ledger of the KV cache: it decides what is reused, and never touches the cache itself.

Today there is one sequence of cells. It keeps what the last request left in it, so that a conversation that goes on
reads only its new tokens, and a request that begins alike shares the common prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.errors import BugError
from engine.step import Trim
from engine.types import RequestId, SeqId, TokenId


class KvError(BugError):
    """The ledger and what is asked of it contradict each other."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A request's right to a sequence. ``n_cached`` of its first tokens need not be computed."""

    seq_id: SeqId
    n_cached: int


@dataclass(slots=True)
class _Sequence:
    """``tokens`` are surely in the cells; beyond them there may be leftovers where ``is_dirty``."""

    seq_id: SeqId
    tokens: list[TokenId] = field(default_factory=list)
    owner: RequestId | None = None
    is_dirty: bool = False


class KvManager:
    """Interface: open, extend, spoil, empty, close; ``trims`` tells the backend what to drop before a step."""

    def __init__(self, n_cells: int) -> None:
        self.n_cells = n_cells
        self._sequence = _Sequence(SeqId(0))

    def can_open(self) -> bool:
        return self._sequence.owner is None

    def open(self, request_id: RequestId, prompt: Sequence[TokenId]) -> Lease:
        """Take the sequence for a request. All of the prompt but its last token may be found in the cache.

        The last token is always computed, because its logits are what the first output token is drawn from.
        """
        sequence = self._sequence
        if sequence.owner is not None:
            raise KvError(f"the sequence belongs to {sequence.owner}")
        n_common = _common_prefix(sequence.tokens, prompt[:-1])
        if n_common < len(sequence.tokens):
            del sequence.tokens[n_common:]
            sequence.is_dirty = True
        sequence.owner = request_id
        return Lease(sequence.seq_id, n_common)

    def trims(self) -> tuple[Trim, ...]:
        """What the next step must drop first. Pure: :meth:`trimmed` records that it happened."""
        sequence = self._sequence
        return (Trim(sequence.seq_id, len(sequence.tokens)),) if sequence.is_dirty else ()

    def trimmed(self, trims: Sequence[Trim]) -> None:
        for trim in trims:
            self._owned(trim.seq_id).is_dirty = False

    def extend(self, seq_id: SeqId, start: int, tokens: Sequence[TokenId]) -> None:
        """Tokens were computed at ``start``, which must be where the known ones end."""
        sequence = self._owned(seq_id)
        if start != len(sequence.tokens):
            raise KvError(f"tokens at {start} do not continue {len(sequence.tokens)} known ones")
        sequence.tokens.extend(tokens)

    def spoil(self, seq_id: SeqId) -> None:
        """A step ended early: positions after the known ones may hold leftovers."""
        self._owned(seq_id).is_dirty = True

    def empty(self, seq_id: SeqId) -> None:
        """The cells of the sequence were cleared."""
        sequence = self._owned(seq_id)
        sequence.tokens.clear()
        sequence.is_dirty = False

    def close(self, request_id: RequestId) -> None:
        """Give the sequence back; its tokens stay for whoever begins alike."""
        if self._sequence.owner != request_id:
            raise KvError(f"{request_id} has no sequence")
        self._sequence.owner = None

    def check(self) -> None:
        """Raises KvError where an invariant is broken. Run after every test and when idle."""
        if len(self._sequence.tokens) > self.n_cells:
            raise KvError(f"{len(self._sequence.tokens)} tokens in {self.n_cells} cells")

    def _owned(self, seq_id: SeqId) -> _Sequence:
        if seq_id != self._sequence.seq_id:
            raise KvError(f"there is no sequence {seq_id}")
        return self._sequence


def _common_prefix(known: Sequence[TokenId], wanted: Sequence[TokenId]) -> int:
    n_most = min(len(known), len(wanted))
    for index in range(n_most):
        if known[index] != wanted[index]:
            return index
    return n_most
