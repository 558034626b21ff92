"""Real models: with drafts the answer is the one without, and the cells are left as if nothing had been guessed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.backend.llama import LlamaBackend
from engine.config import EngineConfig, LoadSpec
from engine.core import EngineCore
from engine.drafting import Drafting
from engine.events import RequestFinished, TokensEmitted
from engine.kv import Costs, PagedKv
from engine.sched import Limits
from engine.spec.controller import Controller
from engine.spec.costs import CostCurve
from engine.step import Chunk, StepPlan, StepStatus
from engine.types import DraftReport, GenerationRequest, RequestId, SamplingParams, SeqId, TokenId
from tests.doubles.gguf import N_EMBD, N_FF, N_LAYER, NORMAL, make_tiny_gguf, tiny_vocabulary

A = RequestId("a")
CONFIG = EngineConfig(n_ctx=2560, n_ubatch=64, n_threads=1, kv_type_k="f32", kv_type_v="f32", flash_attention=False)
"""Numbers of 32 bits everywhere: a batch of several rows adds up in another order, and rounding would make it show."""

GREEDY = SamplingParams(temperature=0.0)
HOT = SamplingParams(temperature=1.2, top_k=40, seed=5)
PENALISED = SamplingParams(temperature=0.9, top_k=0, seed=6, repeat_penalty=1.3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A target, and a draft that is the target without what its last block thinks. Neither ever ends its turn."""
    folder = tmp_path_factory.mktemp("models")
    tokens, kinds = tiny_vocabulary("gpt2")
    output = np.random.default_rng(9).normal(0.0, 0.5, (len(tokens), N_EMBD)).astype(np.float32)
    output[[kind != NORMAL for kind in kinds]] = 0.0
    nothing = np.zeros((N_EMBD, N_FF), np.float32)
    draft = {"output.weight": output, f"blk.{N_LAYER - 1}.ffn_down.weight": nothing}
    return (
        make_tiny_gguf(folder / "target.gguf", tensors={"output.weight": output}),
        make_tiny_gguf(folder / "draft.gguf", tensors=draft),
    )


@pytest.fixture
def backend(files: tuple[Path, Path]) -> Iterator[LlamaBackend]:
    backend = LlamaBackend(LoadSpec(str(files[0]), CONFIG), lambda _: None)
    backend.load_draft(LoadSpec(str(files[1]), CONFIG))
    yield backend
    backend.close()


def said(backend: LlamaBackend, sampling: SamplingParams, n_tokens: int, length: int) -> tuple[str, DraftReport | None]:
    """An answer with drafts of that length, or without any; every invariant is checked after every step."""
    costs, drafting = Costs(), None
    kv = PagedKv(backend.layout, backend.cells, 1 << 24, None, costs)
    if length:
        assert backend.draft is not None
        draft_kv = PagedKv(backend.draft.layout, backend.draft.cells, 1 << 24, None, Costs())
        controller = Controller(CostCurve({1: 1.0}), CostCurve({1: 1.0}), fixed=length)
        drafting = Drafting(controller, backend.info.n_ctx, backend.draft, draft_kv)
    core = EngineCore(backend, kv, costs, Limits(64), drafting)
    core.submit(GenerationRequest(A, (), sampling, n_tokens, prompt="once upon a time"), 0.0)
    text, report = "", None
    while core.has_work:
        for event in core.step(0.0):
            text += event.text if isinstance(event, TokensEmitted) else ""
            if isinstance(event, RequestFinished):
                assert event.usage.n_output == n_tokens
                report = event.drafting
        core.check()
        if length:
            core.idle_work()
    for seq in range(backend.layout.n_sequences):
        backend.cells.trim(SeqId(seq), 0)
        if backend.draft is not None:
            backend.draft.cells.trim(SeqId(seq), 0)
    return text, report


@pytest.mark.slow
def test_greedy_answers_of_2000_tokens_are_the_same_with_drafts(backend: LlamaBackend) -> None:
    plain, _ = said(backend, GREEDY, 2_000, 0)
    drafted, report = said(backend, GREEDY, 2_000, 6)

    assert report is not None
    assert 0 < report.n_accepted < report.n_drafted
    assert drafted == plain


@pytest.mark.parametrize("sampling", [GREEDY, HOT, PENALISED], ids=["greedy", "hot", "penalised"])
@pytest.mark.parametrize("length", [1, 3, 15])
def test_the_same_seed_says_the_same_with_drafts(backend: LlamaBackend, sampling: SamplingParams, length: int) -> None:
    plain, _ = said(backend, sampling, 120, 0)
    drafted, report = said(backend, sampling, 120, length)

    assert report is not None
    assert report.n_accepted > 0
    assert drafted == plain


def test_rejected_tokens_leave_the_cells_as_they_were(backend: LlamaBackend) -> None:
    prompt = tuple(TokenId(token) for token in backend.vocab.tokenize("once upon a time", special=False))
    backend.open_sampler(A, GREEDY, prompt)
    backend.decode(StepPlan((Chunk(A, SeqId(0), 0, prompt[:-1], sample=False),)))
    before = backend.cells.save(SeqId(0), 0, len(prompt) - 1)
    plain = backend.decode(StepPlan((Chunk(A, SeqId(0), len(prompt) - 1, prompt[-1:], sample=True),)))
    backend.cells.trim(SeqId(0), len(prompt) - 1)

    wrong = TokenId((plain.samples[0].token + 1) % backend.info.n_vocab)
    chunk = Chunk(A, SeqId(0), len(prompt) - 1, (prompt[-1], wrong, wrong), sample=True, n_drafted=2)
    result = backend.decode(StepPlan((chunk,)))
    backend.close_sampler(A)

    assert result.status is StepStatus.DONE
    assert result.samples == plain.samples
    assert backend.cells.save(SeqId(0), 0, len(prompt) - 1) == before
    assert backend.cells.trim(SeqId(0), len(prompt))
