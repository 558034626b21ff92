"""llama.cpp as a backend: one model, one context, batches of mixed prefill and decode."""

from __future__ import annotations

import ctypes
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.backend.bindings import diagnostics, lib, native_flag
from engine.backend.cells import LlamaCells
from engine.backend.embedding import LlamaEmbedder, Reader, makes_vectors, pooling_of
from engine.backend.logprobs import log_probabilities
from engine.backend.sampling import Candidates, Sampler
from engine.backend.vocab import LlamaVocab
from engine.cells import KvLayout
from engine.config import LoadSpec
from engine.errors import ModelFileError, OutOfMemory
from engine.step import Chunk, Sample, StepPlan, StepResult, StepStatus
from engine.types import ModelInfo, RequestId, SamplingParams, SeqId, TokenId

DEFAULT_N_CTX = 8192
MAX_PATHS = 32
"""Conversations that can have cells at the same time. Each one costs a row of logits."""
MOST_STATES = 4
"""The same for recurrent and hybrid models, where each one costs a whole state, whether it is used or not."""
_DECODED, _NO_SLOT, _ABORTED = 0, 1, 2  # results of llama_decode, llama.h
_QUICK_TOKENS, _QUICK_S = 16, 0.05
_NO_TOKEN = -1  # LLAMA_TOKEN_NULL
_TWO_WAY_ARCHITECTURES = frozenset({"llama-embed"})
"""Those that read in both directions though they have a cache and their files do not say so."""
_MEMORY_HINTS = ("failed to allocate", "unable to allocate", "out of memory", "insufficient memory", "bad_alloc")


class _Batch:
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
        """Put the chunks in; returns the index of the row whose logits each sampling request needs."""
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
                self._wants_logits[end - 1] = 1
                outputs[chunk.request_id] = end - 1
            begin = end
        self.struct.n_tokens = begin
        return outputs


class LlamaBackend:
    """Implements ``base.Backend``. Thread: the one that made it, but for :meth:`interrupt`."""

    def __init__(self, spec: LoadSpec, on_progress: Callable[[float], None]) -> None:
        """Load the model and make its context; without a number of threads it computes with one.

        Raises:
            ModelFileError: llama.cpp refuses the file; its own last words are in the text.
            OutOfMemory: the weights or the context do not fit.
        """
        started_s = time.monotonic()
        self._diagnostics = diagnostics()
        self._diagnostics.errors.clear()
        self._threads = (spec.config.n_threads or 1,) * 2
        self._samplers: dict[RequestId, Sampler] = {}
        self._candidates = Candidates()
        self._rows: dict[int, Any] = {}
        self._n_logprobs: dict[RequestId, int] = {}
        self._attached: dict[SeqId, RequestId] = {}
        self._samples_on_device = _samples_on_device(spec.config.device_sampling)
        lib.llama_backend_init()
        self._model = self._load_model(spec, on_progress)
        self._architecture = self._metadata("general.architecture")
        self._interrupt_callback, self._interrupt_flag = native_flag()
        self._is_interruptible = True
        self._last_step_s = 0.0
        has_state = bool(lib.llama_model_is_recurrent(self._model) or lib.llama_model_is_hybrid(self._model))
        self._n_paths = min(MOST_STATES, spec.config.n_parallel) if has_state else MAX_PATHS
        n_window: int = lib.llama_model_n_swa(self._model)
        self._has_window = n_window > 0
        self._context, has_full_window = self._make_context(spec)
        self._can_chat = self._reads_forward()
        self._can_cut = has_full_window and not has_state
        scratch = SeqId(self._n_seq_max - 1)
        twins = self._n_paths if self._has_window and self._can_cut else None
        self.cells = LlamaCells(self._context, scratch, twins, n_window=n_window, is_whole=not self._can_cut)
        self._batch = _Batch(spec.config.n_ubatch)
        self.vocab = LlamaVocab(lib.llama_model_get_vocab(self._model))
        template: bytes | None = lib.llama_model_chat_template(self._model, None)
        self.chat_template = template.decode(errors="replace") if template else None
        self.layout = self._lay_out()
        self._pooling = pooling_of(self._metadata(f"{self._architecture}.pooling_type"))
        self.embedder = self._make_embedder(spec, has_state=has_state)
        self.info = self._describe(spec, time.monotonic() - started_s)

    def open_sampler(self, request_id: RequestId, params: SamplingParams, history: Sequence[TokenId]) -> None:
        self._samplers[request_id] = Sampler(params, self.vocab.handle, self.vocab.n_tokens, history, self._candidates)
        if params.n_logprobs is not None:
            self._n_logprobs[request_id] = params.n_logprobs

    def close_sampler(self, request_id: RequestId) -> None:
        self._detach(request_id)
        self._n_logprobs.pop(request_id, None)
        sampler = self._samplers.pop(request_id, None)
        if sampler is not None:
            sampler.close()

    def decode(self, plan: StepPlan) -> StepResult:
        started_s = time.monotonic()
        if self._samples_on_device:
            self._attach(plan.chunks)
        outputs = self._batch.fill(plan.chunks)
        self._allow_interrupts(plan.n_tokens > _QUICK_TOKENS or self._last_step_s > _QUICK_S)
        self._diagnostics.errors.clear()
        code: int = lib.llama_decode(self._context, self._batch.struct)
        self._interrupt_flag[0] = 0
        self._last_step_s = time.monotonic() - started_s
        if code == _DECODED:
            for chunk in plan.chunks:
                self.cells.guard(chunk.seq_id, chunk.start, chunk.end)
            samples = tuple(self._sample(request_id, row) for request_id, row in outputs.items())
            return StepResult(StepStatus.DONE, started_s, time.monotonic(), samples)
        status = {_NO_SLOT: StepStatus.NO_SPACE, _ABORTED: StepStatus.INTERRUPTED}.get(code, StepStatus.FAILED)
        detail = f"llama_decode: {code}. {self._diagnostics.first_error}"
        return StepResult(status, started_s, time.monotonic(), detail=detail)

    def _allow_interrupts(self, is_allowed: bool) -> None:
        """A step that is over in milliseconds is not worth asking, before each node of its graph, whether to go on."""
        if is_allowed != self._is_interruptible:
            self._is_interruptible = is_allowed
            callback = self._interrupt_callback if is_allowed else lib.ggml_abort_callback()
            lib.llama_set_abort_callback(self._context, callback, ctypes.addressof(self._interrupt_flag))

    def set_threads(self, n_decode: int, n_prefill: int) -> None:
        if (n_decode, n_prefill) != self._threads:
            self._threads = (n_decode, n_prefill)
            lib.llama_set_n_threads(self._context, n_decode, n_prefill)
            self.embedder.set_threads(n_prefill)

    def time_batch(self, n_tokens: int, n_threads: int) -> float:
        self.set_threads(n_threads, n_threads)
        self._batch.fill([Chunk(RequestId("timing"), SeqId(0), 0, (TokenId(0),) * n_tokens, sample=True)])
        started_s = time.monotonic()
        lib.llama_decode(self._context, self._batch.struct)
        lib.llama_synchronize(self._context)
        seconds = time.monotonic() - started_s
        lib.llama_memory_clear(lib.llama_get_memory(self._context), False)
        return seconds

    def interrupt(self) -> None:
        self._interrupt_flag[0] = 1

    def close(self) -> None:
        for request_id in list(self._samplers):
            self.close_sampler(request_id)
        self.embedder.release()
        lib.llama_free(self._context)
        lib.llama_model_free(self._model)

    def _attach(self, chunks: Sequence[Chunk]) -> None:
        """Give the chain of each request that draws a token to its sequence, so that the device runs it.

        A request that wants log-probabilities needs the logits on the host and draws there.
        """
        for chunk in chunks:
            owner, request_id = self._attached.get(chunk.seq_id), chunk.request_id
            if owner is not None and (owner != request_id or request_id in self._n_logprobs):
                self._detach(owner)
                owner = None
            if owner is None and chunk.sample and request_id not in self._n_logprobs:
                self._detach(request_id)
                if lib.llama_set_sampler(self._context, chunk.seq_id, self._samplers[request_id].chain):
                    self._attached[chunk.seq_id] = request_id

    def _detach(self, request_id: RequestId) -> None:
        """Before its chain is freed, or another request uses its sequence."""
        for seq_id in [seq_id for seq_id, owner in self._attached.items() if owner == request_id]:
            del self._attached[seq_id]
            lib.llama_set_sampler(self._context, seq_id, None)

    def _sample(self, request_id: RequestId, index: int) -> Sample:
        sampler = self._samplers[request_id]
        if self._attached and lib.llama_get_sampled_token_ith(self._context, index) != _NO_TOKEN:
            return Sample(request_id, sampler.draw_whole(self._context, index))  # the logits stayed on the device
        logits = lib.llama_get_logits_ith(self._context, index)
        if sampler.is_whole:
            token = sampler.draw_whole(self._context, index)
        else:
            token = sampler.draw(self._context, index, self._row(logits))
        is_finite = math.isfinite(logits[token])
        n_best = self._n_logprobs.get(request_id)
        if n_best is None or not is_finite:
            return Sample(request_id, token, is_finite)
        logprob, best = log_probabilities(logits, self.vocab.n_tokens, token, n_best)
        return Sample(request_id, token, is_finite, logprob, best)

    def _row(self, logits: Any) -> Any:
        """A row of logits as an array, which is made once for each place in llama.cpp's buffer."""
        address = ctypes.addressof(logits.contents)
        row = self._rows.get(address)
        if row is None:
            import numpy as np

            row = self._rows[address] = np.ctypeslib.as_array(logits, (self.vocab.n_tokens,))
        return row

    def _load_model(self, spec: LoadSpec, on_progress: Callable[[float], None]) -> Any:
        def report(progress: float, _user_data: object) -> bool:
            on_progress(progress)
            return True

        params = lib.llama_model_default_params()
        params.progress_callback = lib.llama_progress_callback(report)
        if spec.config.n_gpu_layers is not None:
            params.n_gpu_layers = spec.config.n_gpu_layers
        model = lib.llama_model_load_from_file(os.fsencode(spec.path), params)
        if not model:
            self._raise_load_error(spec.path)
        return model

    def _raise_load_error(self, path: str) -> None:
        name, log = Path(path).name, " ".join(self._diagnostics.errors).lower()
        if any(words in log for words in _MEMORY_HINTS):
            hint = "Close other programs, or pick a smaller model."
            raise OutOfMemory(f"There is not enough free memory to load {name}.", hint)
        reason = self._diagnostics.first_error or "no reason was given"
        raise ModelFileError(f"The engine cannot load {name} ({reason}).", "Get the file again, or pick another model.")

    def _make_context(self, spec: LoadSpec) -> tuple[Any, bool]:
        """The context, and whether its cache keeps what has left a sliding window.

        Only then a page of it can be kept, which is worth the memory; where that is not to be had, the window alone
        is better than nothing.
        """
        params = self._context_params(spec)
        for swa_full in (True, False) if self._has_window else (True,):
            params.swa_full = swa_full
            context = lib.llama_init_from_model(self._model, params)
            if context:
                return context, swa_full
        raise OutOfMemory(
            f"There is not enough free memory for a context of {params.n_ctx:,} tokens.",
            "Choose a shorter context length in the settings, or pick a smaller model.",
        )

    def _context_params(self, spec: LoadSpec) -> Any:
        params = lib.llama_context_default_params()
        params.n_ctx = self._choose_n_ctx(spec.config.n_ctx)
        params.n_batch = params.n_ubatch = spec.config.n_ubatch
        params.n_seq_max = self._n_seq_max
        params.n_outputs_max = self._n_seq_max  # the least that llama.cpp allows
        params.n_threads, params.n_threads_batch = self._threads
        params.kv_unified = True
        params.no_perf = True
        params.abort_callback = self._interrupt_callback
        params.abort_callback_data = ctypes.addressof(self._interrupt_flag)
        return params

    def _choose_n_ctx(self, wished: int | None) -> int:
        """Never more than the model was trained for: beyond that it answers nonsense."""
        trained: int = lib.llama_model_n_ctx_train(self._model)
        n_ctx = wished or DEFAULT_N_CTX
        return min(n_ctx, trained) if trained > 0 else n_ctx

    @property
    def _n_seq_max(self) -> int:
        """One sequence a path, as many twins where windows need them, and one to copy through."""
        return self._n_paths * (2 if self._has_window else 1) + 1

    def _reads_forward(self) -> bool:
        """Whether each token sees only those before it. Other models cannot write, only turn texts into vectors."""
        has_cells = bool(lib.llama_get_memory(self._context)) and not lib.llama_model_has_encoder(self._model)
        is_causal = self._metadata(f"{self._architecture}.attention.causal") != "false"
        return has_cells and is_causal and self._architecture not in _TWO_WAY_ARCHITECTURES

    def _make_embedder(self, spec: LoadSpec, *, has_state: bool) -> LlamaEmbedder:
        has_cells = bool(lib.llama_get_memory(self._context)) and not lib.llama_model_has_encoder(self._model)
        reader = Reader(
            name=Path(spec.path).stem,
            max_tokens=self._choose_n_ctx(spec.config.n_ctx),
            in_pieces=self._can_chat,
            has_state=has_state,
            cell_bytes=self.layout.bytes_per_token if has_cells else 0,
        )
        interrupts = (self._interrupt_callback, self._interrupt_flag)
        return LlamaEmbedder(self._model, reader, self._pooling, interrupts, self._threads[1])

    def _lay_out(self) -> KvLayout:
        """Read every weight once, so that the first question does not pay for the disk, and weigh a token's cells."""
        lib.llama_set_warmup(self._context, True)
        sizes = [0, 0]
        for position in (0, 1) if self._can_chat else ():
            chunk = Chunk(RequestId("warm-up"), SeqId(0), position, (TokenId(0),), sample=False)
            self._batch.fill([chunk])
            lib.llama_decode(self._context, self._batch.struct)
            sizes[position] = lib.llama_state_seq_get_size(self._context, 0)
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        lib.llama_synchronize(self._context)
        lib.llama_set_warmup(self._context, False)
        return KvLayout(
            n_cells=lib.llama_n_ctx(self._context),
            n_sequences=self._n_paths,
            bytes_per_token=max(1, sizes[1] - sizes[0]),
            can_cut=self._can_cut,
            fingerprint=f"llama.cpp {lib.llama_version().decode()}, f16 keys, f16 values",
        )

    def _describe(self, spec: LoadSpec, load_s: float) -> ModelInfo:
        return ModelInfo(
            path=spec.path,
            name=Path(spec.path).stem,
            architecture=self._architecture,
            description=_read_string(lambda buffer, size: lib.llama_model_desc(self._model, buffer, size)),
            n_params=lib.llama_model_n_params(self._model),
            size_bytes=lib.llama_model_size(self._model),
            n_ctx_train=lib.llama_model_n_ctx_train(self._model),
            n_ctx=lib.llama_n_ctx(self._context),
            n_vocab=self.vocab.n_tokens,
            n_threads=self._threads[0],
            has_chat_template=self.chat_template is not None,
            can_cut_cache=self._can_cut,
            can_chat=self._can_chat,
            can_embed=makes_vectors(self._pooling),
            n_embd=self.embedder.n_embd,
            load_s=load_s,
        )

    def _metadata(self, key: str) -> str:
        raw = key.encode()
        return _read_string(lambda buffer, size: lib.llama_model_meta_val_str(self._model, raw, buffer, size))


def _samples_on_device(wished: bool | None) -> bool:
    """On a GPU the host's samplers are the bottleneck; on a CPU there is nothing to win."""
    return bool(lib.llama_supports_gpu_offload()) if wished is None else wished


def _read_string(read: Callable[[Any, int], int]) -> str:
    """A string from one of llama.cpp's snprintf-like getters; empty where there is none."""
    buffer = ctypes.create_string_buffer(1024)
    length = read(buffer, len(buffer))
    return buffer.value.decode(errors="replace") if length > 0 else ""
