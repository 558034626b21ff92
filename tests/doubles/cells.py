"""A cell pool that knows what is right, and fails a test that is not."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from engine.types import SeqId, TokenId

START = bytes(8)
_HEAD = struct.Struct("<q8s")
_CELL = struct.Struct("<i8s4x")
BYTES_PER_TOKEN = _CELL.size


@dataclass(frozen=True, eq=False)
class Cell:
    """``state`` stands for the keys and values: it depends on this token and on every one before it."""

    position: int
    token: int
    state: bytes


def state_after(state: bytes, token: int) -> bytes:
    return blake2b(state + token.to_bytes(4, "little"), digest_size=8).digest()


@dataclass
class FakeCells:
    """Implements ``engine.cells.Cells``. Two sequences share a cell where they have the very same object.

    ``compute`` is what a decode does. ``refuses_save``, ``refuses_restore`` and ``refuses_trim`` script refusals;
    ``n_saves`` and ``n_restores`` count copies.
    """

    n_cells: int
    can_cut: bool = True
    refuses_save: bool = False
    refuses_restore: bool = False
    refuses_trim: bool = False
    n_saves: int = 0
    n_restores: int = 0
    _sequences: dict[SeqId, list[Cell]] = field(default_factory=dict)

    @property
    def n_used(self) -> int:
        return len({id(cell) for cells in self._sequences.values() for cell in cells})

    def tokens(self, seq: SeqId) -> list[int]:
        """What the sequence holds. Fails where a state is not that of these tokens."""
        state = START
        for position, cell in enumerate(self._of(seq)):
            state = state_after(state, cell.token)
            assert (cell.position, cell.state) == (position, state), f"sequence {seq} is wrong at {position}"
        return [cell.token for cell in self._of(seq)]

    def compute(self, seq: SeqId, tokens: Sequence[TokenId]) -> None:
        cells = self._of(seq)
        for token in tokens:
            cells.append(Cell(len(cells), token, state_after(self._end(seq), token)))
        assert self.n_used <= self.n_cells, "more cells were used than there are"

    def share(self, src: SeqId, dst: SeqId, begin: int, end: int) -> None:
        assert self.can_cut, "a part of a state cannot be shared"
        assert begin == len(self._of(dst)) < end <= len(self._of(src)), "a wrong range was shared"
        assert begin == 0 or self._of(src)[begin - 1].state == self._end(dst), "a range was shared after other tokens"
        self._of(dst).extend(self._of(src)[begin:end])

    def trim(self, seq: SeqId, n_keep: int) -> bool:
        is_possible = (self.can_cut and not self.refuses_trim) or n_keep in (0, len(self._of(seq)))
        del self._of(seq)[n_keep if is_possible else 0 :]
        return is_possible

    def save(self, seq: SeqId, begin: int, end: int) -> bytes | None:
        cells = self._of(seq)
        assert 0 <= begin < end <= len(cells), "a range was saved that is not there"
        if self.refuses_save:
            return None
        assert self.can_cut or (begin, end) == (0, len(cells)), "a part of a state was saved"
        self.n_saves += 1
        before = cells[begin - 1].state if begin else START
        return _HEAD.pack(begin, before) + b"".join(_CELL.pack(cell.token, cell.state) for cell in cells[begin:end])

    def restore(self, seq: SeqId, begin: int, end: int, data: bytes | memoryview) -> bool:
        if self.refuses_restore:
            return False
        saved_begin, before = _HEAD.unpack_from(data)
        saved = list(_CELL.iter_unpack(data[_HEAD.size :]))
        assert saved_begin == begin == len(self._of(seq)), "a range was restored at a wrong position"
        assert before == self._end(seq), "a range was restored after other tokens"
        assert len(saved) == end - begin, "a range has another length than was said"
        self.n_restores += 1
        self._of(seq).extend(Cell(begin + index, token, state) for index, (token, state) in enumerate(saved))
        assert self.n_used <= self.n_cells, "more cells were used than there are"
        return True

    def _of(self, seq: SeqId) -> list[Cell]:
        return self._sequences.setdefault(seq, [])

    def _end(self, seq: SeqId) -> bytes:
        cells = self._of(seq)
        return cells[-1].state if cells else START
