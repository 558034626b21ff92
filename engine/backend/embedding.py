"""Vectors of texts, computed in a context of their own beside the one that chats.

How a text's tokens become one vector (pooling) is the model's own way; where it has none, and for models made to chat,
it is the mean of the last layer. A model that reads from left to right takes a long text in pieces: the mean of the
whole is the mean of the pieces by their lengths. One that reads in both directions needs all of it at once.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from engine.backend.base import EmbedStep
from engine.backend.bindings import lib
from engine.errors import EngineStopped, ModelFileError, OutOfMemory

_DECODED, _ABORTED = 0, 2  # results of llama_decode and llama_encode, llama.h
_POOL_NONE, _POOL_MEAN, _POOL_CLS, _POOL_RANK = 0, 1, 2, 4  # enum llama_pooling_type, llama.h
_MOST_INPUTS = 32
_LEAST_TOKENS, _MOST_TOKENS = 64, 512
_OUTPUT_BYTES = 128 << 20
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Reader:
    """How a model reads a text that it makes a vector of.

    ``max_tokens`` is the longest; ``in_pieces``: from left to right; ``has_state``: what was read cannot be taken back.
    ``cell_bytes`` is what a token takes in its cache, 0 where it has none.
    """

    name: str
    max_tokens: int
    in_pieces: bool
    has_state: bool
    cell_bytes: int


def pooling_of(stated: str) -> int:
    """The pooling to ask for, by what the model's file says (a number, or nothing)."""
    number = int(stated) if stated.isdecimal() else _POOL_NONE
    return number if number in range(_POOL_MEAN, _POOL_RANK + 1) else _POOL_MEAN


def makes_vectors(pooling: int) -> bool:
    """Models that rank give a score for a pair of texts, not a vector for a text."""
    return pooling != _POOL_RANK


class LlamaEmbedder:
    """Implements ``base.Embedder``. Thread: the engine's. The model must outlive it; end it with :meth:`release`."""

    def __init__(self, model: Any, reader: Reader, pooling: int, interrupts: tuple[Any, Any], n_threads: int) -> None:
        """``interrupts`` is a pair as ``bindings.native_flag`` makes it."""
        self._model = model
        self._reader = reader
        self._pooling = pooling
        self._interrupt_callback, self._interrupt_flag = interrupts
        self._n_threads = n_threads
        self._n_vocab: int = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
        self.n_embd: int = lib.llama_model_n_embd_out(model)
        self.max_tokens = reader.max_tokens
        self.batch_inputs = 1 if reader.has_state else _MOST_INPUTS
        rows = _OUTPUT_BYTES // (_FLOAT_BYTES * self._n_vocab)  # llama.cpp has room for the logits of every token
        self.batch_tokens = min(max(_LEAST_TOKENS, min(_MOST_TOKENS, rows)), self.max_tokens)
        self._context: Any = None
        self._batch: Any = None
        self._n_room = 0
        self._tokens: list[tuple[int, int, int]] = []  # of the open batch: input, position, token
        self._n_done = 0
        self._vectors: dict[int, list[float]] = {}

    def open(self, inputs: Sequence[Sequence[int]]) -> None:
        self._tokens = [
            (number, position, token) for number, tokens in enumerate(inputs) for position, token in enumerate(tokens)
        ]
        self._make_room(len(self._tokens))
        self._begin()

    def step(self, n_most: int) -> EmbedStep:
        n_tokens = len(self._tokens) - self._n_done
        if self._reader.in_pieces:
            n_tokens = min(n_tokens, self.batch_tokens, n_most)
        part = self._tokens[self._n_done : self._n_done + n_tokens]
        self._fill(part)
        run = lib.llama_decode if self._reader.cell_bytes else lib.llama_encode
        code: int = run(self._context, self._batch)
        self._interrupt_flag[0] = 0
        if code == _ABORTED:
            if self._reader.has_state:
                self._begin()
            return EmbedStep(0)
        if code != _DECODED:
            raise EngineStopped(f"{self._reader.name} could not compute a vector.", "Try again, or pick another model.")
        self._collect(Counter(number for number, _, _ in part))
        self._n_done += n_tokens
        if self._n_done < len(self._tokens):
            return EmbedStep(n_tokens)
        vectors = tuple(self._normalised(self._vectors[number]) for number in sorted(self._vectors))
        return EmbedStep(n_tokens, vectors)

    def set_threads(self, n_threads: int) -> None:
        if n_threads != self._n_threads:
            self._n_threads = n_threads
            if self._context is not None:
                lib.llama_set_n_threads(self._context, n_threads, n_threads)

    def release(self) -> None:
        if self._context is not None:
            lib.llama_free(self._context)
            lib.llama_batch_free(self._batch)
            self._context = self._batch = None
            self._n_room = 0

    def _begin(self) -> None:
        self._n_done = 0
        self._vectors.clear()
        if self._reader.cell_bytes:
            lib.llama_memory_clear(lib.llama_get_memory(self._context), False)

    def _make_room(self, n_tokens: int) -> None:
        """A context that takes the batch: no larger than need be, and grown by doubling."""
        if n_tokens <= self._n_room:
            return
        self.release()
        n_room = min(max(self.batch_tokens, 1 << (n_tokens - 1).bit_length()), max(self.max_tokens, n_tokens))
        n_rows = self.batch_tokens if self._reader.in_pieces else n_room
        n_bytes = n_room * self._reader.cell_bytes + 2 * n_rows * self._n_vocab * _FLOAT_BYTES
        if n_bytes < psutil.virtual_memory().available:  # what is handed out and not there ends the process later
            self._context = lib.llama_init_from_model(self._model, self._params(n_room, n_rows))
        if not self._context:
            raise OutOfMemory(
                f"There is not enough free memory to make a vector of {n_tokens:,} tokens.",
                "Close other programs, or split the text into shorter ones.",
            )
        self._batch = lib.llama_batch_init(n_rows, 0, 1)
        self._n_room = n_room

    def _params(self, n_room: int, n_rows: int) -> Any:
        params = lib.llama_context_default_params()
        params.n_ctx = n_room
        params.n_batch = params.n_ubatch = n_rows
        params.n_seq_max = self.batch_inputs
        params.n_threads = params.n_threads_batch = self._n_threads
        params.embeddings = True
        params.pooling_type = self._pooling
        params.kv_unified = True
        params.no_perf = True
        params.abort_callback = self._interrupt_callback
        params.abort_callback_data = ctypes.addressof(self._interrupt_flag)
        return params

    def _fill(self, part: Sequence[tuple[int, int, int]]) -> None:
        batch = self._batch
        batch.n_tokens = len(part)
        for row, (number, position, token) in enumerate(part):
            batch.token[row], batch.pos[row] = token, position
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, number
            batch.logits[row] = 1

    def _collect(self, sizes: Counter[int]) -> None:
        """Take in what a piece brought: ``sizes`` has for each of its inputs how many tokens of it were read."""
        for number, n_tokens in sizes.items():
            new = lib.llama_get_embeddings_seq(self._context, number)[: self.n_embd]
            old = self._vectors.get(number)
            if self._pooling == _POOL_MEAN:
                sums = old or [0.0] * self.n_embd
                self._vectors[number] = [so_far + n_tokens * value for so_far, value in zip(sums, new, strict=True)]
            elif old is None or self._pooling != _POOL_CLS:  # the first piece has the first token
                self._vectors[number] = new

    def _normalised(self, vector: Sequence[float]) -> bytes:
        length = math.sqrt(math.fsum(value * value for value in vector))
        if not math.isfinite(length):
            raise ModelFileError(
                f"{self._reader.name} produced numbers that are not numbers, so its file is probably damaged.",
                "Get the model again, or pick another one.",
            )
        return struct.pack(f"<{len(vector)}f", *(value / (length or 1.0) for value in vector))
