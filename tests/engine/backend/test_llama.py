"""llama.cpp behind the seam, with models small enough to load in milliseconds."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.backend.llama import LlamaBackend
from engine.config import EngineConfig, LoadSpec
from engine.errors import ModelFileError
from engine.step import Chunk, StepPlan, StepStatus
from engine.types import RequestId, SamplingParams, SeqId, TokenId
from tests.doubles.gguf import make_tiny_gguf

A = RequestId("a")
SEQ = SeqId(0)
GREEDY = SamplingParams(temperature=0.0)
CONFIG = EngineConfig(n_ctx=1024, n_ubatch=256, n_threads=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def backend(tiny: Path) -> Iterator[LlamaBackend]:
    backend = open_backend(tiny)
    yield backend
    backend.close()


def open_backend(path: Path, config: EngineConfig = CONFIG) -> LlamaBackend:
    return LlamaBackend(LoadSpec(str(path), config), lambda _progress: None)


def chunk(start: int, *tokens: int, sample: bool = True) -> StepPlan:
    return StepPlan((Chunk(A, SEQ, start, tuple(TokenId(token) for token in tokens), sample),))


def generate(backend: LlamaBackend, params: SamplingParams, n_tokens: int = 12) -> list[int]:
    prompt = [TokenId(token) for token in backend.vocab.tokenize("hello", special=False)]
    backend.open_sampler(A, params, prompt)
    backend.cells.trim(SEQ, 0)
    plan = chunk(0, *prompt)
    output: list[int] = []
    for position in range(len(prompt), len(prompt) + n_tokens):
        result = backend.decode(plan)
        assert result.status is StepStatus.DONE
        output.append(result.samples[0].token)
        plan = chunk(position, output[-1])
    backend.close_sampler(A)
    return output


def test_greedy_output_repeats_itself(backend: LlamaBackend) -> None:
    assert generate(backend, GREEDY) == generate(backend, GREEDY)


def test_a_seed_makes_sampling_repeatable_and_another_one_differs(backend: LlamaBackend) -> None:
    hot = [SamplingParams(temperature=2.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed) for seed in (1, 1, 2)]

    first, same, other = (generate(backend, params) for params in hot)

    assert first == same
    assert first != other


def test_a_repeat_penalty_is_felt(backend: LlamaBackend) -> None:
    plain = generate(backend, GREEDY, 40)
    penalised = generate(backend, SamplingParams(temperature=0.0, repeat_penalty=5.0, repeat_last_n=64), 40)

    assert len(set(penalised)) > len(set(plain))


def test_trimming_and_reading_again_gives_the_same_token(backend: LlamaBackend) -> None:
    tokens = backend.vocab.tokenize("hello hello hello", special=False)
    backend.open_sampler(A, GREEDY, [])
    whole = backend.decode(chunk(0, *tokens)).samples[0].token
    backend.cells.trim(SEQ, 0)
    again = backend.decode(chunk(0, *tokens)).samples[0].token

    assert whole == again


def test_an_interrupt_ends_the_next_decode_early_and_only_that(backend: LlamaBackend) -> None:
    backend.open_sampler(A, GREEDY, [])
    backend.interrupt()

    interrupted = backend.decode(chunk(0, *range(5, 45)))
    backend.cells.trim(SEQ, 0)
    again = backend.decode(chunk(0, *range(5, 45)))

    assert interrupted.status is StepStatus.INTERRUPTED
    assert again.status is StepStatus.DONE


def test_an_interrupt_from_another_thread_ends_a_decode_that_runs(starter_model: Path) -> None:
    backend = open_backend(starter_model, EngineConfig(n_ctx=2048, n_ubatch=1024, n_threads=1))
    timer = threading.Timer(0.05, backend.interrupt)
    timer.start()
    result = backend.decode(chunk(0, *range(100, 1100), sample=False))
    timer.join()
    backend.close()

    assert result.status is StepStatus.INTERRUPTED


def test_more_tokens_than_the_context_holds_is_no_space(backend: LlamaBackend) -> None:
    for start in range(0, 1024, 256):
        assert backend.decode(chunk(start, *range(1, 257), sample=False)).status is StepStatus.DONE

    assert backend.decode(chunk(1024, 1, sample=False)).status is StepStatus.NO_SPACE


def test_a_batch_that_would_abort_the_process_is_refused_before(backend: LlamaBackend) -> None:
    with pytest.raises(ValueError, match="in a batch of 256"):
        backend.decode(chunk(0, *[1] * 257))


def test_the_vocabulary_tells_control_tokens_from_text(backend: LlamaBackend) -> None:
    vocab = backend.vocab

    as_control = vocab.tokenize("<|im_end|>", special=True)
    as_text = vocab.tokenize("<|im_end|>", special=False)

    assert len(as_control) == 1
    assert vocab.piece(TokenId(as_control[0])) == b""
    assert b"".join(vocab.piece(TokenId(token)) for token in as_text) == b"<|im_end|>"
    assert {"<|im_start|>", "<|im_end|>"} <= vocab.special_texts
    assert vocab.ends_turn(TokenId(as_control[0]))


def test_text_survives_the_tokenizer(backend: LlamaBackend) -> None:
    text = "Grüße 👋\n\tcode() { return 0; }"

    tokens = backend.vocab.tokenize(text, special=False)

    assert b"".join(backend.vocab.piece(TokenId(token)) for token in tokens).decode() == text


def test_the_context_is_never_longer_than_the_training(tiny: Path) -> None:
    backend = open_backend(tiny, EngineConfig(n_ctx=100_000, n_threads=1))
    info = backend.info
    backend.close()

    assert info.n_ctx == info.n_ctx_train == 4096


def test_weights_that_are_not_numbers_are_noticed(tmp_path: Path) -> None:
    weights = {"output_norm.weight": np.full(64, np.nan, np.float32)}
    backend = open_backend(make_tiny_gguf(tmp_path / "nan.gguf", tensors=weights))
    backend.open_sampler(A, GREEDY, [])
    result = backend.decode(chunk(0, 5))
    backend.close()

    assert [sample.is_finite for sample in result.samples] == [False]


def test_what_llama_cpp_says_about_a_file_it_refuses_is_in_the_error(tmp_path: Path) -> None:
    path = make_tiny_gguf(tmp_path / "odd.gguf", metadata={"general.architecture": "llama9"})

    with pytest.raises(ModelFileError, match="llama9"):
        open_backend(path)


def test_loading_the_bindings_imports_neither_numpy_nor_a_pickling_cache() -> None:
    code = "import sys, engine.backend.llama; print(sorted({'numpy', 'diskcache', 'pickle'} & set(sys.modules)))"

    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "[]"
