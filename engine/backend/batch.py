"""Batches as llama.cpp takes them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from engine.backend.bindings import lib
from engine.step import Chunk
from engine.types import RequestId, TokenId


class Batch:
    """A ``llama_batch`` over arrays of our own, filled by slices: up to ``n_most`` tokens, each of one sequence."""

    def __init__(self, n_most: int) -> None:
        self.n_most = n_most
        self._tokens = (ctypes.c_int32 * n_most)()
        self._positions = (ctypes.c_int32 * n_most)()
        self._n_seq_ids = (ctypes.c_int32 * n_most)(*([1] * n_most))
        self._seq_ids = (ctypes.c_int32 * n_most)()
        size = ctypes.sizeof(ctypes.c_int32)
        row = ctypes.POINTER(ctypes.c_int32)
        address = ctypes.addressof(self._seq_ids)
        self._rows = (row * n_most)(*(ctypes.cast(address + index * size, row) for index in range(n_most)))
        self._wants_logits = (ctypes.c_int8 * n_most)()
        self.struct = lib.llama_batch(
            0, self._tokens, None, self._positions, self._n_seq_ids, self._rows, self._wants_logits
        )

    def fill(self, chunks: Sequence[Chunk]) -> dict[RequestId, int]:
        """Put the chunks in; returns the row of the first logits that each sampling request needs.

        Those of a draft follow it, one row for each guessed token.
        """
        outputs: dict[RequestId, int] = {}
        begin = 0
        for chunk in chunks:
            end = begin + len(chunk.tokens)
            if end > self.n_most:
                raise ValueError(f"{end} tokens in a batch of {self.n_most}")  # would abort llama.cpp
            self._tokens[begin:end] = list(chunk.tokens)
            self._positions[begin:end] = list(range(chunk.start, chunk.end))
            self._seq_ids[begin:end] = [chunk.seq_id] * len(chunk.tokens)
            self._wants_logits[begin:end] = [0] * len(chunk.tokens)
            if chunk.sample:
                outputs[chunk.request_id] = first = end - 1 - chunk.n_drafted
                self._wants_logits[first:end] = [1] * (end - first)
            begin = end
        self.struct.n_tokens = begin
        return outputs

    def advance(self, tokens: Sequence[TokenId]) -> None:
        """After chunks of one token each: the next token of each of them, all of which yield another one."""
        n_tokens = len(tokens)
        self._tokens[:n_tokens] = list(tokens)
        self._positions[:n_tokens] = [position + 1 for position in self._positions[:n_tokens]]
