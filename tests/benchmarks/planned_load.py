"""One load, measured: what every buffer and device took, how fast it is, and whether it holds to a full context.

    python -m tests.benchmarks.planned_load < LOADSPEC.json

The cache is filled by putting one computed page back at every position, so that a full context costs seconds, not
minutes; what the model then says means nothing, but what it takes does. Prints JSON.
"""

from __future__ import annotations

import itertools
import struct
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec

from engine.backend.llama import LlamaBackend
from engine.config import LoadSpec
from engine.receipt import DeviceMemory, Receipt
from engine.step import Chunk, StepPlan, StepStatus
from engine.types import RequestId, SamplingParams, SeqId, TokenId

PAGE = 256
N_PROMPT, N_SHALLOW, N_DECODED = 2048, 64, 32
REQUEST, SEQUENCE = RequestId("measured"), SeqId(0)


class Measured(msgspec.Struct, frozen=True):
    """``least_free_bytes`` are in the order of ``receipt.devices``. ``n_full`` is how far the context was filled."""

    receipt: Receipt
    least_free_bytes: tuple[int, ...]
    n_ctx: int
    n_full: int
    load_s: float
    decode_tokens_per_s: float
    deep_decode_tokens_per_s: float
    full_decode_tokens_per_s: float | None
    prefill_tokens_per_s: float


class Run:
    """Steps of one conversation, and the least free memory that was seen after them."""

    def __init__(self, backend: LlamaBackend) -> None:
        self.backend = backend
        self.n_done = 0
        self.least: list[DeviceMemory] = list(backend.read_memory())
        self._tokens = itertools.cycle(range(1000, 1000 + 997))
        backend.open_sampler(REQUEST, SamplingParams(temperature=0.0), ())

    def prefill(self, n_tokens: int, n_ubatch: int) -> float:
        """Seconds."""
        started_s = time.perf_counter()
        end = self.n_done + n_tokens
        while self.n_done < end:
            n_next = min(n_ubatch, end - self.n_done)
            self._step([TokenId(next(self._tokens)) for _ in range(n_next)], sample=self.n_done + n_next == end)
        self._look()
        return time.perf_counter() - started_s

    def decode(self, n_tokens: int) -> float:
        """Tokens a second."""
        self._step([TokenId(next(self._tokens))], sample=True)
        started_s = time.perf_counter()
        for _ in range(n_tokens):
            self._step([TokenId(next(self._tokens))], sample=True)
        seconds = time.perf_counter() - started_s
        self._look()
        return n_tokens / seconds

    def fill(self, end: int) -> None:
        """Bring the first page to every position up to ``end``, a whole number of pages."""
        page = self.backend.cells.save(SEQUENCE, 0, PAGE)
        if page is None:
            return
        first = _positions_at(bytes(page), PAGE)
        for start in range(self.n_done - self.n_done % PAGE, end, PAGE):
            if start == self.n_done - self.n_done % PAGE:
                self.backend.cells.trim(SEQUENCE, start)
            data = bytearray(page)
            for index in range(PAGE):
                struct.pack_into("<i", data, first + 12 * index, start + index)
            if not self.backend.cells.restore(SEQUENCE, start, start + PAGE, bytes(data)):
                raise RuntimeError(f"the page at {start} was refused")
            self.n_done = start + PAGE
        self._look()

    def _step(self, tokens: Sequence[TokenId], *, sample: bool) -> None:
        plan = StepPlan((Chunk(REQUEST, SEQUENCE, self.n_done, tuple(tokens), sample),))
        result = self.backend.decode(plan)
        if result.status is not StepStatus.DONE:
            raise RuntimeError(f"a step at {self.n_done} ended as {result.status.name}: {result.detail}")
        self.n_done += len(tokens)

    def _look(self) -> None:
        now = self.backend.read_memory()
        self.least = [min(pair, key=lambda memory: memory.free_bytes) for pair in zip(self.least, now, strict=True)]


def _positions_at(page: bytes, n_cells: int) -> int:
    """Where the cells' metadata begin: position, number of sequences (one), its id, for each cell."""
    for begin in _occurrences(page, struct.pack("<ii", 0, 1)):
        (sequence,) = struct.unpack_from("<i", page, begin + 8)
        if all(
            struct.unpack_from("<iii", page, begin + 12 * index) == (index, 1, sequence) for index in range(n_cells)
        ):
            return begin
    raise RuntimeError("a saved page has an unknown form")


def _occurrences(data: bytes, pattern: bytes) -> Iterator[int]:
    position = data.find(pattern, 0, 4096)
    while position >= 0:
        yield position
        position = data.find(pattern, position + 1, 4096)


def measure(spec: LoadSpec) -> Measured:
    started_s = time.monotonic()
    backend = LlamaBackend(spec, lambda _progress: None)
    load_s = time.monotonic() - started_s
    n_threads = spec.config.n_threads or 1
    backend.set_threads(n_threads, n_threads)
    n_ctx, n_ubatch = backend.info.n_ctx, spec.config.n_ubatch
    run = Run(backend)
    run.prefill(min(N_SHALLOW, n_ctx // 4), n_ubatch)
    shallow = run.decode(N_DECODED)
    n_prompt = min(N_PROMPT, n_ctx // 2)
    run.prefill(n_ubatch, n_ubatch)
    prefill_s = run.prefill(n_prompt, n_ubatch)
    deep = run.decode(N_DECODED)
    full = None
    room = n_ubatch + N_DECODED + 8
    if backend.info.can_cut_cache:
        run.fill((n_ctx - room) // PAGE * PAGE)
        run.prefill(n_ubatch, n_ubatch)
        full = run.decode(min(N_DECODED, n_ctx - run.n_done - 2))
    least = tuple(memory.free_bytes for memory in run.least)
    return Measured(backend.receipt(), least, n_ctx, run.n_done, load_s, shallow, deep, full, n_prompt / prefill_s)


def main() -> None:
    measured = measure(msgspec.json.decode(sys.stdin.buffer.read(), type=LoadSpec))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
