"""Do pages come back bit for bit? Logits after a restore against those of the run that was never interrupted.

    python -m tests.benchmarks.exactness MODEL.gguf

Reads 1,024 tokens, copies them out page by page, fills the cells with something else, puts the pages back, and
compares the logits of the next token. Between, other sequences are computed, so that a cache that writes over cells
which left a sliding window would be found out. Prints the largest difference, which must be 0.0.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engine.backend.bindings import lib
from engine.backend.llama import LlamaBackend
from engine.config import EngineConfig, LoadSpec
from engine.step import Chunk, StepPlan, StepStatus
from engine.types import RequestId, SamplingParams, SeqId, TokenId

PAGE = 256
N_PAGES = 4
A = RequestId("a")


def read(backend: LlamaBackend, seq: int, start: int, tokens: Sequence[int]) -> list[float]:
    part: tuple[TokenId, ...] = ()
    for begin in range(0, len(tokens), PAGE):
        part = tuple(TokenId(token) for token in tokens[begin : begin + PAGE])
        result = backend.decode(StepPlan((Chunk(A, SeqId(seq), start + begin, part, sample=True),)))
        if result.status is not StepStatus.DONE:
            sys.exit(f"the model cannot be computed: {result}")
    row = lib.llama_get_logits_ith(backend._context, len(part) - 1)
    return list(ctypes.cast(row, ctypes.POINTER(ctypes.c_float * backend.vocab.n_tokens)).contents)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    model = parser.parse_args().model
    config = EngineConfig(n_ctx=4096, device_sampling=False)
    backend = LlamaBackend(LoadSpec(str(model), config), lambda _progress: None)
    backend.open_sampler(A, SamplingParams(temperature=0.0), [])
    n_tokens = N_PAGES * PAGE
    tokens = [1000 + 37 * n % 20_000 for n in range(n_tokens + 1)]
    other = [900 + 53 * n % 20_000 for n in range(n_tokens)]

    read(backend, 0, 0, tokens[:n_tokens])
    read(backend, 1, 0, other)
    started_s = time.perf_counter()
    pages = [backend.cells.save(SeqId(0), begin, begin + PAGE) for begin in range(0, n_tokens, PAGE)]
    saved_s = time.perf_counter() - started_s
    expected = read(backend, 0, n_tokens, tokens[n_tokens:])
    for seq in (0, 1):
        backend.cells.trim(SeqId(seq), 0)
    started_s = time.perf_counter()
    for number, page in enumerate(pages):
        if page is None or not backend.cells.restore(SeqId(2), number * PAGE, (number + 1) * PAGE, page):
            sys.exit("a page was refused")
    restored_s = time.perf_counter() - started_s
    restored = read(backend, 2, n_tokens, tokens[n_tokens:])

    difference = max(abs(a - b) for a, b in zip(expected, restored, strict=True))
    size = sum(len(page) for page in pages if page is not None) / N_PAGES / 1e6
    sys.stdout.write(f"{backend.info.architecture}: largest difference of {len(expected):,} logits: {difference}\n")
    sys.stdout.write(f"a page of {size:.1f} MB: saved in {saved_s / N_PAGES * 1e3:.2f} ms, ")
    sys.stdout.write(f"restored in {restored_s / N_PAGES * 1e3:.2f} ms\n")
    backend.close()


if __name__ == "__main__":
    main()
