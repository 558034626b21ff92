"""Pages go out of llama.cpp's cells and come back bit for bit."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engine.backend.bindings import lib
from engine.backend.llama import LlamaBackend
from engine.config import EngineConfig, LoadSpec
from engine.step import Chunk, StepPlan, StepStatus
from engine.types import RequestId, SamplingParams, SeqId, TokenId

A = RequestId("a")
PAGE = 256
N_TOKENS = 2 * PAGE


@pytest.fixture(scope="module")
def backend(starter_model: Path) -> Iterator[LlamaBackend]:
    backend = LlamaBackend(LoadSpec(str(starter_model), EngineConfig(n_ctx=4096, n_threads=1)), lambda _: None)
    backend.open_sampler(A, SamplingParams(temperature=0.0), [])
    yield backend
    backend.close()


def prompt() -> list[TokenId]:
    return [TokenId(1000 + 37 * n % 40_000) for n in range(N_TOKENS + 1)]


def read(backend: LlamaBackend, seq: SeqId, start: int, tokens: Sequence[TokenId]) -> list[float]:
    """Compute tokens page by page; returns the logits after the last one."""
    for begin in range(start, start + len(tokens), PAGE):
        part = tuple(tokens[begin - start : begin - start + PAGE])
        result = backend.decode(StepPlan((Chunk(A, seq, begin, part, sample=True),)))
        assert result.status is StepStatus.DONE
    logits = lib.llama_get_logits_ith(backend._context, len(part) - 1)
    return list(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float * backend.vocab.n_tokens)).contents)


def empty(backend: LlamaBackend) -> None:
    for seq in range(backend.layout.n_sequences):
        assert backend.cells.trim(SeqId(seq), 0)


def test_a_conversation_restored_page_by_page_gives_the_very_same_logits(backend: LlamaBackend) -> None:
    tokens, cells = prompt(), backend.cells
    read(backend, SeqId(0), 0, tokens[:N_TOKENS])
    pages = [cells.save(SeqId(0), begin, begin + PAGE) for begin in range(0, N_TOKENS, PAGE)]
    expected = read(backend, SeqId(0), N_TOKENS, tokens[N_TOKENS:])
    empty(backend)

    for number, page in enumerate(pages):
        assert page is not None
        assert cells.restore(SeqId(5), number * PAGE, (number + 1) * PAGE, page)
    restored = read(backend, SeqId(5), N_TOKENS, tokens[N_TOKENS:])

    assert restored == expected
    empty(backend)


def test_a_shared_prefix_gives_the_very_same_logits(backend: LlamaBackend) -> None:
    tokens, cells = prompt(), backend.cells
    read(backend, SeqId(0), 0, tokens[:N_TOKENS])
    cells.share(SeqId(0), SeqId(1), 0, N_TOKENS)
    assert cells.trim(SeqId(0), 0)
    shared = read(backend, SeqId(1), N_TOKENS, tokens[N_TOKENS:])
    empty(backend)
    alone = read(backend, SeqId(0), 0, tokens)

    assert shared == alone
    empty(backend)


def test_bytes_that_are_no_page_are_refused_and_change_nothing(backend: LlamaBackend) -> None:
    tokens, cells = prompt(), backend.cells
    read(backend, SeqId(0), 0, tokens[:PAGE])
    page = cells.save(SeqId(0), 0, PAGE)
    assert page is not None

    for wrong in (b"", page[:100], page[: len(page) // 2], page[:-1], b"\0" * 1000):
        assert not cells.restore(SeqId(3), 0, PAGE, wrong)
    assert not cells.restore(SeqId(3), PAGE, 2 * PAGE, page)
    assert lib.llama_memory_seq_pos_max(lib.llama_get_memory(backend._context), 3) == -1
    empty(backend)


def test_a_page_weighs_what_the_layout_says(backend: LlamaBackend) -> None:
    read(backend, SeqId(0), 0, prompt()[:PAGE])
    page = backend.cells.save(SeqId(0), 0, PAGE)

    assert page is not None
    assert len(page) == pytest.approx(PAGE * backend.layout.bytes_per_token, rel=0.02)
    empty(backend)
