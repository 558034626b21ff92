"""Bytes of the KV cache and of recurrent state, to the byte as llama.cpp allots them."""

from __future__ import annotations

from dataclasses import dataclass

from engine.plan.attention import LayerCache
from engine.plan.shape import ModelShape
from engine.plan.types import KvType, Wishes

MAX_PATHS, MOST_STATES = 32, 4
"""As in engine.backend.llama: conversations in the cells at once, and of models with state."""
_CELL_PADDING = 256
_BLOCK = 32
_BLOCK_BYTES = {
    KvType.F32: 128,
    KvType.F16: 64,
    KvType.BF16: 64,
    KvType.Q8_0: 34,
    KvType.Q5_1: 24,
    KvType.Q5_0: 22,
    KvType.Q4_1: 20,
    KvType.Q4_0: 18,
}
"""Of 32 numbers (ggml-common.h)."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """How a context is made: ``n_tokens`` is the largest batch as llama.cpp reserves room for it, ``n_sequences`` all
    that may have cells, twins and scratch included."""

    n_ctx: int
    kv_type: KvType
    swa_full: bool
    n_sequences: int
    n_tokens: int
    flash_attention: bool
    n_cells: int
    n_window_cells: int

    @classmethod
    def of(
        cls, shape: ModelShape, wishes: Wishes, n_ctx: int, kv_type: KvType, *, flash_attention: bool, swa_full: bool
    ) -> CacheSettings:
        n_sequences = sequences(shape, wishes.n_parallel)
        n_cells = n_ctx + -n_ctx % _CELL_PADDING
        n_ubatch = min(wishes.n_ubatch, n_cells)
        n_window = min(n_cells, shape.window * n_sequences + n_ubatch)
        return cls(
            n_ctx=n_ctx,
            kv_type=kv_type,
            swa_full=swa_full,
            n_sequences=n_sequences,
            n_tokens=n_ubatch + -n_ubatch % n_sequences,
            flash_attention=flash_attention,
            n_cells=n_cells,
            n_window_cells=n_cells if swa_full else n_window + -n_window % _CELL_PADDING,
        )

    def layer_bytes(self, cache: LayerCache) -> int:
        """Of keys, values, their index, and state."""
        cells = self.n_window_cells if cache.has_window else self.n_cells
        width = cache.key_width + cache.value_width + cache.index_width
        return cells * width // _BLOCK * _BLOCK_BYTES[self.kv_type] + cache.state_bytes * self.n_sequences


def sequences(shape: ModelShape, n_parallel: int) -> int:
    """One a path, as many twins where windows need them, and one to copy through (engine.backend.llama)."""
    n_paths = min(MOST_STATES, n_parallel) if shape.has_state else MAX_PATHS
    return n_paths * (2 if shape.window else 1) + 1


def can_quantize(shape: ModelShape) -> bool:
    """Whether keys and values can be kept in blocks: every head must be whole blocks."""
    has_cells = any(layer.cache.key_width for layer in shape.layers)
    return has_cells and shape.widths.key % _BLOCK == 0 and shape.widths.value % _BLOCK == 0
