"""The cells of llama.cpp's KV cache: shared, cut, copied out and put back.

A range is copied through a scratch sequence: share it there, serialise that sequence, empty it. The bytes are
llama.cpp's own state format (``llama_state_seq_get_data``); they are only ever given back to the same build, model and
settings, and ``llama_state_seq_set_data`` refuses a buffer that is too short.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

from engine.backend.bindings import lib
from engine.cells import Blob
from engine.types import SeqId

_LENGTH = struct.Struct("<Q")
_BYTES = ctypes.POINTER(ctypes.c_uint8)


class LlamaCells:
    """Implements ``kv.Cells``. Thread: the engine's. The last sequence id of the context is the scratch sequence.

    In a cache with a sliding window, llama.cpp writes over cells that have left the window of the only sequence that
    holds them. ``guard_offset`` protects them: every sequence has a twin that many ids further that shares its cells.

    It also leaves out of a copy what the window of the copied range's last token does not see, so a range is copied
    in pieces no longer than the window.

    With ``is_whole`` the state of a sequence cannot be cut (recurrent models): it is copied as it is.
    """

    def __init__(
        self,
        context: Any,
        scratch: SeqId,
        guard_offset: int | None = None,
        *,
        n_window: int = 0,
        is_whole: bool = False,
    ) -> None:
        self._context = context
        self._memory = lib.llama_get_memory(context)
        self._scratch = scratch
        self._guard_offset = guard_offset
        self._n_window = n_window
        self._is_whole = is_whole

    def share(self, src: SeqId, dst: SeqId, begin: int, end: int) -> None:
        lib.llama_memory_seq_cp(self._memory, src, dst, begin, end)
        self.guard(dst, begin, end)

    def guard(self, seq: SeqId, begin: int, end: int) -> None:
        """Protect cells that were computed just now. Does nothing where the cache has no window."""
        if self._guard_offset is not None:
            lib.llama_memory_seq_cp(self._memory, seq, seq + self._guard_offset, begin, end)

    def trim(self, seq: SeqId, n_keep: int) -> bool:
        """False where the cache cannot be cut there; the sequence is empty then."""
        if self._remove(seq, n_keep):
            return True
        self._remove(seq, 0)
        return False

    def save(self, seq: SeqId, begin: int, end: int) -> Blob | None:
        if self._is_whole:
            return self._copy(seq)
        pieces = []
        for first, last in self._pieces(begin, end):
            lib.llama_memory_seq_cp(self._memory, seq, self._scratch, first, last)
            piece = self._copy(self._scratch)
            lib.llama_memory_seq_rm(self._memory, self._scratch, -1, -1)
            if piece is None:
                return None
            pieces.append(piece)
        if len(pieces) == 1:
            return pieces[0]
        return b"".join(part for piece in pieces for part in (_LENGTH.pack(len(piece)), piece))

    def restore(self, seq: SeqId, begin: int, end: int, data: Blob) -> bool:
        if self._is_whole:
            return self._put_whole(seq, end, data)
        ranges = self._pieces(begin, end)
        pieces = [data] if len(ranges) == 1 else _split(memoryview(data))
        fits = len(pieces) == len(ranges)
        for (first, last), piece in zip(ranges, pieces, strict=False):
            fits = fits and self._put(self._scratch, piece) and self._holds(self._scratch, first, last)
            if fits:
                self.share(self._scratch, seq, first, last)
            lib.llama_memory_seq_rm(self._memory, self._scratch, -1, -1)
        if not fits:
            self._remove(seq, begin)
        return fits

    def _pieces(self, begin: int, end: int) -> list[tuple[int, int]]:
        step = self._n_window or end - begin
        return [(first, min(first + step, end)) for first in range(begin, end, step)]

    def _copy(self, seq: SeqId) -> Blob | None:
        import numpy as np

        size: int = lib.llama_state_seq_get_size(self._context, seq)
        data = np.empty(size, np.uint8)  # neither zeroed nor copied again: fresh memory costs more than the copy
        n_bytes: int = lib.llama_state_seq_get_data(self._context, data.ctypes.data_as(_BYTES), size, seq)
        return data.data.toreadonly() if n_bytes == size else None

    def _put(self, seq: SeqId, data: Blob) -> bool:
        import numpy as np

        row = np.frombuffer(data, np.uint8)  # where it is
        n_bytes: int = lib.llama_state_seq_set_data(self._context, row.ctypes.data_as(_BYTES), len(data), seq)
        return n_bytes == len(data)

    def _put_whole(self, seq: SeqId, end: int, data: Blob) -> bool:
        if self._put(seq, data) and lib.llama_memory_seq_pos_max(self._memory, seq) == end - 1:
            return True
        self._remove(seq, 0)
        return False

    def _holds(self, seq: SeqId, begin: int, end: int) -> bool:
        first: int = lib.llama_memory_seq_pos_min(self._memory, seq)
        last: int = lib.llama_memory_seq_pos_max(self._memory, seq)
        return (first, last + 1) == (begin, end)

    def _remove(self, seq: SeqId, begin: int) -> bool:
        if self._guard_offset is not None:
            lib.llama_memory_seq_rm(self._memory, seq + self._guard_offset, begin, -1)
        return bool(lib.llama_memory_seq_rm(self._memory, seq, begin, -1))


def _split(data: memoryview) -> list[memoryview]:
    """The pieces of a range that was saved in several; fewer where the lengths do not add up."""
    pieces = []
    while len(data) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(data)
        if length > len(data) - _LENGTH.size:
            break
        pieces.append(data[_LENGTH.size : _LENGTH.size + length])
        data = data[_LENGTH.size + length :]
    return pieces
