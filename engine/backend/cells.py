"""The cells of llama.cpp's KV cache: shared, cut, copied out and put back.

A range is copied through a scratch sequence: share it there, serialise that sequence, empty it. The bytes are
llama.cpp's own state format (``llama_state_seq_get_data``); they are only ever given back to the same build, model and
settings, and ``llama_state_seq_set_data`` refuses a buffer that is too short.
"""

from __future__ import annotations

import ctypes
from typing import Any

from engine.backend.bindings import lib
from engine.types import SeqId


class LlamaCells:
    """Implements ``kv.Cells``. Thread: the engine's. The last sequence id of the context is the scratch sequence.

    In a cache with a sliding window, llama.cpp writes over cells that have left the window of the only sequence that
    holds them. ``guard_offset`` protects them: every sequence has a twin that many ids further that shares its cells.
    """

    def __init__(self, context: Any, scratch: SeqId, guard_offset: int | None = None) -> None:
        self._context = context
        self._memory = lib.llama_get_memory(context)
        self._scratch = scratch
        self._guard_offset = guard_offset

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

    def save(self, seq: SeqId, begin: int, end: int) -> bytes | None:
        lib.llama_memory_seq_cp(self._memory, seq, self._scratch, begin, end)
        size: int = lib.llama_state_seq_get_size(self._context, self._scratch)
        buffer = (ctypes.c_uint8 * size)()
        n_bytes: int = lib.llama_state_seq_get_data(self._context, buffer, size, self._scratch)
        lib.llama_memory_seq_rm(self._memory, self._scratch, -1, -1)
        return bytes(buffer) if n_bytes == size else None

    def restore(self, seq: SeqId, begin: int, end: int, data: bytes | memoryview) -> bool:
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        n_bytes: int = lib.llama_state_seq_set_data(self._context, buffer, len(data), self._scratch)
        fits = n_bytes == len(data) and self._holds(self._scratch, begin, end)
        if fits:
            self.share(self._scratch, seq, begin, end)
        lib.llama_memory_seq_rm(self._memory, self._scratch, -1, -1)
        return fits

    def _holds(self, seq: SeqId, begin: int, end: int) -> bool:
        first: int = lib.llama_memory_seq_pos_min(self._memory, seq)
        last: int = lib.llama_memory_seq_pos_max(self._memory, seq)
        return (first, last + 1) == (begin, end)

    def _remove(self, seq: SeqId, begin: int) -> bool:
        if self._guard_offset is not None:
            lib.llama_memory_seq_rm(self._memory, seq + self._guard_offset, begin, -1)
        return bool(lib.llama_memory_seq_rm(self._memory, seq, begin, -1))
