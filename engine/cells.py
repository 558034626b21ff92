"""The seam to the cells of the KV cache, and what the ledger must know about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.types import SeqId

Blob = bytes | memoryview
"""A saved range of cells, in a format that only the backend understands."""


class Cells(Protocol):
    """The cells of one context: a pool in which sequences share. Thread: the engine's; everything happens at once.

    A sequence owns the positions 0 to n - 1 of one row of tokens.
    """

    def share(self, src: SeqId, dst: SeqId, begin: int, end: int) -> None:
        """``dst``, which ends at ``begin``, goes on with the positions ``begin`` to ``end`` of ``src``. No copy."""

    def trim(self, seq: SeqId, n_keep: int) -> bool:
        """Keep the first ``n_keep`` positions. False: it cannot be cut there, and the sequence is empty now."""

    def save(self, seq: SeqId, begin: int, end: int) -> Blob | None:
        """Copy a range out. None: refused."""

    def restore(self, seq: SeqId, begin: int, end: int, data: Blob) -> bool:
        """Put a saved range back, at the end of ``seq``, into free cells. False: refused, and nothing changed."""


@dataclass(frozen=True, slots=True)
class KvLayout:
    """What the cells of a loaded model are like.

    ``fingerprint`` names everything that decides what is in a cell besides the tokens: model, build, KV types, RoPE
    settings, adapters. Sequence ids are 0 to ``n_sequences`` - 1. Where ``can_cut`` is False (recurrent and hybrid
    models, windows that forget), a saved range is the whole state and good for exactly its number of tokens.
    """

    n_cells: int
    n_sequences: int
    bytes_per_token: int
    can_cut: bool
    fingerprint: str
    page_tokens: int = 256
