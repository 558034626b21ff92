"""llama.cpp as a backend: one model, one context, batches of mixed prefill and decode."""

from __future__ import annotations

import ctypes
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from engine.backend.adapters import LlamaAdapters
from engine.backend.batch import Batch
from engine.backend.bindings import diagnostics, lib, native_flag
from engine.backend.cells import LlamaCells
from engine.backend.draft import LlamaDraft
from engine.backend.embedding import LlamaEmbedder, Reader, makes_vectors, pooling_of
from engine.backend.grammar import Grammars
from engine.backend.last_words import ran_out
from engine.backend.logprobs import log_probabilities
from engine.backend.memory import MemoryWatch
from engine.backend.placement import Placement, SequenceForm, kv_names, usable_n_ctx
from engine.backend.sampling import Candidates, Sampler
from engine.backend.vocab import LlamaVocab
from engine.cells import KvLayout
from engine.config import LoadSpec
from engine.errors import ErrorInfo, InvalidRequest, ModelFileError, OutOfMemory
from engine.receipt import DeviceMemory, Receipt
from engine.spec.acceptance import accept
from engine.step import Chunk, Sample, StepPlan, StepResult, StepStatus
from engine.types import ModelInfo, RequestId, SamplingParams, SeqId, TokenId

_DECODED, _NO_SLOT, _ABORTED = 0, 1, 2  # results of llama_decode, llama.h
_QUICK_TOKENS, _QUICK_S = 16, 0.05
_NO_TOKEN = -1  # LLAMA_TOKEN_NULL
_TWO_WAY_ARCHITECTURES = frozenset({"llama-embed"})
"""Those that read in both directions though they have a cache and their files do not say so."""


class LlamaBackend:
    """Implements ``base.Backend``. Thread: the one that made it, but for :meth:`interrupt`."""

    def __init__(self, spec: LoadSpec, on_progress: Callable[[float], None]) -> None:
        """Load the model and make its context; without a number of threads it computes with one.

        Raises:
            ModelFileError: llama.cpp refuses the file; its own last words are in the text.
            OutOfMemory: the weights or the context do not fit.
            InvalidRequest: the config names a device that is not there.
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
        self._on_host: set[RequestId] = set()
        self.draft: LlamaDraft | None = None
        lib.llama_backend_init()
        self._placement = Placement(spec.config)
        self._watch = MemoryWatch(self._placement.known, spec.planned)
        self._buffers = self._placement.buffer_log()
        self._diagnostics.listener = self._buffers.hear
        self._model = self._load_model(spec, on_progress)
        self._samples_on_device = self._draws_on_device(spec)
        self._architecture = self._metadata("general.architecture")
        self._interrupt_callback, self._interrupt_flag = native_flag()
        self._is_interruptible = True
        self._is_hurried = False
        self._last_step_s = 0.0
        form = SequenceForm.of(self._model, spec.config)
        self._n_paths, self._n_seq_max = form.n_paths, form.n_seq_max
        has_state, n_window = form.has_state, form.n_window
        self._has_window = n_window > 0
        self._context, has_full_window = self._make_context(spec)
        self._can_chat = self._reads_forward()
        self._can_cut = has_full_window and not has_state
        scratch = SeqId(self._n_seq_max - 1)
        twins = self._n_paths if self._has_window and self._can_cut else None
        self.cells = LlamaCells(self._context, scratch, twins, n_window=n_window, is_whole=not self._can_cut)
        self.adapters = LlamaAdapters(self._model, self._context)
        self._batch = Batch(spec.config.n_ubatch)
        self.vocab = LlamaVocab(lib.llama_model_get_vocab(self._model))
        self._grammars = Grammars(self.vocab)
        template: bytes | None = lib.llama_model_chat_template(self._model, None)
        self.chat_template = template.decode(errors="replace") if template else None
        self.layout = self._lay_out(spec)
        self._pooling = pooling_of(self._metadata(f"{self._architecture}.pooling_type"))
        self.embedder = self._make_embedder(spec, has_state=has_state)
        self._diagnostics.listener = None
        self.info = self._describe(spec, time.monotonic() - started_s)

    def receipt(self) -> Receipt:
        return self._watch.receipt(self._buffers.buffers())

    def read_memory(self) -> tuple[DeviceMemory, ...]:
        return self._watch.read()

    def open_sampler(self, request_id: RequestId, params: SamplingParams, history: Sequence[TokenId]) -> None:
        follower, vocab = self._grammars.follow(params), self.vocab
        self._samplers[request_id] = Sampler(params, vocab.handle, vocab.n_tokens, history, self._candidates, follower)
        if params.n_logprobs is not None:
            self._n_logprobs[request_id] = params.n_logprobs

    def close_sampler(self, request_id: RequestId) -> None:
        self._detach(request_id)
        self._on_host.discard(request_id)
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
        self._is_hurried = False
        code: int = lib.llama_decode(self._context, self._batch.struct)
        if code == _DECODED:
            for chunk in plan.chunks:
                self.cells.guard(chunk.seq_id, chunk.start, chunk.end)
            samples = self._draw(plan.chunks, outputs)
            n_rounds = self._go_on(plan, samples)
            ended_s = time.monotonic()
            self._last_step_s = (ended_s - started_s) / n_rounds
            result = StepResult(StepStatus.DONE, started_s, ended_s, tuple(samples), n_rounds=n_rounds)
        else:
            status = {_NO_SLOT: StepStatus.NO_SPACE, _ABORTED: StepStatus.INTERRUPTED}.get(code, StepStatus.FAILED)
            detail = f"llama_decode: {code}. {self._diagnostics.first_error}"
            result = StepResult(status, started_s, time.monotonic(), detail=detail)
            self._last_step_s = result.seconds
        self._interrupt_flag[0] = 0
        return result

    def _draw(self, chunks: Sequence[Chunk], rows: Mapping[RequestId, int]) -> list[Sample]:
        """The tokens that the batch yields. What was drafted and does not hold leaves the cells."""
        samples: list[Sample] = []
        for chunk in chunks:
            row = rows.get(chunk.request_id)
            if row is None:
                continue
            if not chunk.n_drafted:
                samples.append(self._sample(chunk.request_id, row))
                continue
            draw = partial(self._sample_in, chunk.request_id, row)
            run = accept(chunk.drafted, draw, self._goes_on)
            self.cells.trim(chunk.seq_id, chunk.end - chunk.n_drafted + len(run) - 1)
            samples += run
        return samples

    def _sample_in(self, request_id: RequestId, row: int, number: int) -> Sample:
        return self._sample(request_id, row + number)

    def _goes_on(self, sample: Sample) -> bool:
        return sample.is_finite and not self.vocab.ends_turn(sample.token)

    def _go_on(self, plan: StepPlan, samples: list[Sample]) -> int:
        """The other rounds of a plan, whose samples are put with those of the first. Returns how many it were in all.

        A round that cannot be computed is left to the next step, which tells why: llama.cpp has taken its tokens back.
        """
        n_rounds, n_rows = 1, len(plan.chunks)
        while n_rounds < plan.n_rounds and self._may_go_on(samples[-n_rows:]):
            tokens = [sample.token for sample in samples[-n_rows:]]
            if n_rounds > 1 or plan.n_tokens == n_rows:
                self._batch.advance(tokens)
            else:
                self._batch.fill([chunk.following(token) for chunk, token in zip(plan.chunks, tokens, strict=True)])
            if lib.llama_decode(self._context, self._batch.struct) != _DECODED:
                break
            for chunk in plan.chunks:
                self.cells.guard(chunk.seq_id, chunk.end - 1 + n_rounds, chunk.end + n_rounds)
            samples += [self._sample(chunk.request_id, row) for row, chunk in enumerate(plan.chunks)]
            n_rounds += 1
        return n_rounds

    def _may_go_on(self, samples: Sequence[Sample]) -> bool:
        if self._is_hurried or self._interrupt_flag.value:
            return False
        return all(map(self._goes_on, samples))

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
            if self.draft is not None:
                self.draft.set_threads(n_decode, n_prefill)

    def time_batch(self, n_tokens: int, n_threads: int) -> float:
        self.set_threads(n_threads, n_threads)
        self._batch.fill([Chunk(RequestId("timing"), SeqId(0), 0, (TokenId(0),) * n_tokens, sample=True)])
        started_s = time.monotonic()
        lib.llama_decode(self._context, self._batch.struct)
        lib.llama_synchronize(self._context)
        seconds = time.monotonic() - started_s
        lib.llama_memory_clear(lib.llama_get_memory(self._context), False)
        return seconds

    def time_rows(self, n_rows: int) -> float:
        tokens = (TokenId(0),) * n_rows
        self._batch.fill([Chunk(RequestId("timing"), SeqId(0), 0, tokens, sample=True, n_drafted=n_rows - 1)])
        started_s = time.monotonic()
        lib.llama_decode(self._context, self._batch.struct)
        lib.llama_synchronize(self._context)
        seconds = time.monotonic() - started_s
        lib.llama_memory_clear(lib.llama_get_memory(self._context), False)
        return seconds

    def load_draft(self, spec: LoadSpec) -> None:
        draft = LlamaDraft(self, LlamaBackend(spec, lambda _progress: None))
        draft.set_threads(*self._threads)
        self.draft = draft

    def copy_sampler(self, request_id: RequestId, owner: LlamaBackend) -> None:
        """Draw a request's tokens as another backend would, with the same random numbers, until it is closed."""
        self._samplers[request_id] = owner._samplers[request_id].copy(self._candidates)

    def interrupt(self) -> None:
        self._interrupt_flag[0] = 1
        if self.draft is not None:
            self.draft.interrupt()

    def hurry(self) -> None:
        self._is_hurried = True

    def close(self) -> None:
        for request_id in list(self._samplers):
            self.close_sampler(request_id)
        self.embedder.release()
        if self.draft is not None:
            self.draft.close()
        lib.llama_free(self._context)
        lib.llama_model_free(self._model)

    def _attach(self, chunks: Sequence[Chunk]) -> None:
        """Give the chain of each request that draws a token to its sequence, so that the device runs it.

        A request that wants log-probabilities needs the logits on the host and draws there. So does one with a draft,
        from then on: the device draws one token of a sequence in a batch, not several.
        """
        for chunk in chunks:
            owner, request_id = self._attached.get(chunk.seq_id), chunk.request_id
            if chunk.n_drafted:
                self._on_host.add(request_id)
            is_constrained = chunk.sample and self._samplers[request_id].is_constrained
            needs_host = is_constrained or request_id in self._n_logprobs or request_id in self._on_host
            if owner is not None and (owner != request_id or needs_host):
                self._detach(owner)
                owner = None
            if owner is None and chunk.sample and not needs_host:
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
        try:
            if sampler.is_whole:
                token = sampler.draw_whole(self._context, index)
            else:
                token = sampler.draw(self._context, index, self._row(logits))
        except InvalidRequest as error:
            return Sample(request_id, TokenId(0), is_finite=False, problem=ErrorInfo.of(error))
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
        self._placement.fill_model(params)
        model = lib.llama_model_load_from_file(os.fsencode(spec.path), params)
        if not model:
            self._raise_load_error(spec.path)
        return model

    def _draws_on_device(self, spec: LoadSpec) -> bool:
        """Where the output is on a GPU, the host's samplers are the bottleneck; elsewhere there is nothing to win."""
        config = spec.config
        if config.device_sampling is not None:
            return config.device_sampling
        wants_all = config.n_gpu_layers is None or config.n_gpu_layers > 0  # the output is the first to go there
        return bool(self._placement.gpus) and wants_all

    def _raise_load_error(self, path: str) -> None:
        name = Path(path).name
        if ran_out(self._diagnostics.errors):
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
        for swa_full in self._cache_forms(spec.config.swa_full):
            params.swa_full = swa_full
            context = lib.llama_init_from_model(self._model, params)
            if context:
                return context, swa_full
            self._buffers.forget_context()
        if not ran_out(self._diagnostics.errors):
            reason = self._diagnostics.first_error or "no reason was given"
            raise ModelFileError(f"The engine cannot make a context for {Path(spec.path).name} ({reason}).")
        raise OutOfMemory(
            f"There is not enough free memory for a context of {params.n_ctx:,} tokens.",
            "Choose a shorter context length in the settings, or pick a smaller model.",
        )

    def _cache_forms(self, wished: bool | None) -> tuple[bool, ...]:
        """Values of swa_full to try, the best first; it means nothing where there is no window."""
        if not self._has_window:
            return (True,)
        return (True, False) if wished is None else (wished,)

    def _context_params(self, spec: LoadSpec) -> Any:
        params = self._placement.context_params(self._model, spec.config)
        params.n_threads, params.n_threads_batch = self._threads
        params.abort_callback = self._interrupt_callback
        params.abort_callback_data = ctypes.addressof(self._interrupt_flag)
        return params

    def _reads_forward(self) -> bool:
        """Whether each token sees only those before it. Other models cannot write, only turn texts into vectors."""
        has_cells = bool(lib.llama_get_memory(self._context)) and not lib.llama_model_has_encoder(self._model)
        is_causal = self._metadata(f"{self._architecture}.attention.causal") != "false"
        return has_cells and is_causal and self._architecture not in _TWO_WAY_ARCHITECTURES

    def _make_embedder(self, spec: LoadSpec, *, has_state: bool) -> LlamaEmbedder:
        has_cells = bool(lib.llama_get_memory(self._context)) and not lib.llama_model_has_encoder(self._model)
        reader = Reader(
            name=spec.name or Path(spec.path).stem,
            max_tokens=usable_n_ctx(self._model, spec.config.n_ctx),
            in_pieces=self._can_chat,
            has_state=has_state,
            cell_bytes=self.layout.bytes_per_token if has_cells else 0,
        )
        interrupts = (self._interrupt_callback, self._interrupt_flag)
        return LlamaEmbedder(self._model, reader, self._pooling, interrupts, self._threads[1])

    def _lay_out(self, spec: LoadSpec) -> KvLayout:
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
            fingerprint=f"llama.cpp {lib.llama_version().decode()}, {kv_names(spec.config)}",
        )

    def _describe(self, spec: LoadSpec, load_s: float) -> ModelInfo:
        return ModelInfo(
            path=spec.path,
            name=spec.name or Path(spec.path).stem,
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


def _read_string(read: Callable[[Any, int], int]) -> str:
    """A string from one of llama.cpp's snprintf-like getters; empty where there is none."""
    buffer = ctypes.create_string_buffer(1024)
    length = read(buffer, len(buffer))
    return buffer.value.decode(errors="replace") if length > 0 else ""
