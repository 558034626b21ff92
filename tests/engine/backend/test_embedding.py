"""Vectors from llama.cpp, against a plain computation of the same model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from engine.backend.llama import LlamaBackend
from engine.config import EngineConfig, LoadSpec
from engine.errors import OutOfMemory
from tests.doubles.architectures import (
    BERT_N_CTX,
    BERT_N_HEADS,
    N_EMBD,
    N_LAYER,
    TinyBert,
    make_tiny_bert,
    make_tiny_gemma,
    make_tiny_mamba,
)
from tests.doubles.gguf import Value, make_tiny_gguf

Array = npt.NDArray[np.float64]
ALL = 1 << 20
CONFIG = EngineConfig(n_ctx=2048, n_ubatch=128, n_threads=1)
Open = Callable[[Path], LlamaBackend]


@pytest.fixture
def open_backend() -> Iterator[Open]:
    backends: list[LlamaBackend] = []

    def open_one(path: Path) -> LlamaBackend:
        backends.append(LlamaBackend(LoadSpec(str(path), CONFIG), lambda _progress: None))
        return backends[-1]

    yield open_one
    for backend in backends:
        backend.close()


@pytest.fixture
def bert(tmp_path: Path) -> TinyBert:
    return make_tiny_bert(tmp_path / "bert.gguf")


def embed(backend: LlamaBackend, *inputs: Sequence[int], piece: int = ALL) -> list[Array]:
    backend.embedder.open(inputs)
    while (done := backend.embedder.step(piece)).vectors is None:
        pass
    return [np.frombuffer(vector, "<f4").astype(float) for vector in done.vectors]


def plain_bert(bert: TinyBert, tokens: Sequence[int]) -> Array:
    """The last layer of the model (Devlin et al. 2018), a row for each token."""
    weights = {name: np.asarray(tensor, float) for name, tensor in bert.tensors.items()}

    def linear(name: str, rows: Array) -> Array:
        return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(rows: Array) -> Array:
        return (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)

    rows = weights["token_embd.weight"][list(tokens)] + weights["token_types.weight"][0]
    rows = norm(rows + weights["position_embd.weight"][: len(tokens)])
    for layer in range(N_LAYER):
        block = f"blk.{layer}."
        parts = [np.split(linear(f"{block}attn_{part}", rows), BERT_N_HEADS, axis=1) for part in "qkv"]
        heads = [_attend(*head) for head in zip(*parts, strict=True)]
        rows = norm(rows + linear(f"{block}attn_output", np.concatenate(heads, axis=1)))
        rows = norm(rows + linear(f"{block}ffn_down", _gelu(linear(f"{block}ffn_up", rows))))
    return rows


def _attend(queries: Array, keys: Array, values: Array) -> Array:
    scores = np.exp(queries @ keys.T / queries.shape[1] ** 0.5)
    return scores / scores.sum(1, keepdims=True) @ values


def _gelu(values: Array) -> Array:
    return 0.5 * values * (1 + np.tanh((2 / np.pi) ** 0.5 * (values + 0.044715 * values**3)))


def unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


POOLED: dict[int | None, Callable[[Array], Array]] = {
    None: lambda rows: rows.mean(0),
    1: lambda rows: rows.mean(0),
    2: lambda rows: rows[0],
    3: lambda rows: rows[-1],
}


@pytest.mark.parametrize("pooling", POOLED, ids=["not stated", "mean", "first token", "last token"])
def test_an_encoders_vectors_are_those_of_a_plain_computation(
    open_backend: Open, tmp_path: Path, pooling: int | None
) -> None:
    bert = make_tiny_bert(tmp_path / "bert.gguf", pooling)
    backend = open_backend(bert.path)
    texts = ["the cat sat on a mat", "rates rose in march", "cat"]
    inputs = [backend.vocab.tokenize_alone(text) for text in texts]

    vectors = embed(backend, *inputs)

    for tokens, vector in zip(inputs, vectors, strict=True):
        assert vector == pytest.approx(unit(POOLED[pooling](plain_bert(bert, tokens))), abs=2e-3)


def test_a_text_stands_between_the_tokens_that_the_model_wants(open_backend: Open, bert: TinyBert) -> None:
    vocab = open_backend(bert.path).vocab

    assert [bert.words[token] for token in vocab.tokenize_alone("the cat")] == ["[CLS]", "the", "cat", "[SEP]"]
    assert "[SEP]" not in [bert.words[token] for token in vocab.tokenize_alone("[SEP]")][1:-1]


def test_an_encoder_can_embed_and_not_chat(open_backend: Open, bert: TinyBert) -> None:
    info = open_backend(bert.path).info

    assert (info.can_chat, info.can_embed, info.n_embd, info.n_ctx_train) == (False, True, N_EMBD, BERT_N_CTX)


def test_a_model_that_ranks_can_do_neither(open_backend: Open, tmp_path: Path) -> None:
    info = open_backend(make_tiny_bert(tmp_path / "rank.gguf", pooling=4).path).info

    assert (info.can_chat, info.can_embed) == (False, False)


def test_an_encoder_reads_as_much_as_it_was_trained_for_and_no_token_more(open_backend: Open, bert: TinyBert) -> None:
    backend = open_backend(bert.path)
    longest = [5] * BERT_N_CTX

    (vector,) = embed(backend, longest)

    assert backend.embedder.max_tokens == BERT_N_CTX
    assert vector == pytest.approx(unit(plain_bert(bert, longest).mean(0)), abs=2e-3)


@pytest.fixture(params=[make_tiny_gguf, make_tiny_mamba, make_tiny_gemma], ids=["llama", "recurrent", "window"])
def chat_model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make: Callable[[Path], Path] = request.param
    return make(tmp_path / "model.gguf")


def test_a_chat_model_gives_the_same_vector_in_one_piece_and_in_many(open_backend: Open, chat_model: Path) -> None:
    backend = open_backend(chat_model)
    tokens = [5 + number % 200 for number in range(100)]

    (whole,), (in_pieces,), (again,) = (embed(backend, tokens, piece=piece) for piece in (ALL, 16, ALL))

    assert backend.info.can_chat
    assert backend.info.can_embed
    assert np.linalg.norm(whole) == pytest.approx(1.0)
    assert in_pieces == pytest.approx(whole, abs=2e-3)
    assert np.array_equal(whole, again)


@pytest.mark.parametrize(("stated", "row"), [(2, 0), (3, -1)], ids=["first token", "last token"])
def test_pooling_a_single_token_works_in_pieces(open_backend: Open, tmp_path: Path, stated: int, row: int) -> None:
    metadata: dict[str, Value | None] = {"llama.pooling_type": stated}
    backend = open_backend(make_tiny_gguf(tmp_path / "pooled.gguf", metadata=metadata))
    tokens = [5 + number % 200 for number in range(60)]

    (whole,), (in_pieces,) = embed(backend, tokens), embed(backend, tokens, piece=16)
    (first,) = embed(backend, tokens[:1])

    assert in_pieces == pytest.approx(whole, abs=2e-3)
    assert (whole == pytest.approx(first, abs=2e-3)) == (row == 0)


def test_many_inputs_are_as_good_as_one_by_one(open_backend: Open, tmp_path: Path) -> None:
    backend = open_backend(make_tiny_gguf(tmp_path / "tiny.gguf"))
    inputs = [[5 + number, *range(20, 20 + number)] for number in range(8)]

    together = embed(backend, *inputs)
    in_pieces = embed(backend, *inputs, piece=7)

    for tokens, vector, slow in zip(inputs, together, in_pieces, strict=True):
        assert embed(backend, tokens)[0] == pytest.approx(vector, abs=2e-3)
        assert slow == pytest.approx(vector, abs=2e-3)


def test_a_text_longer_than_any_before_makes_more_room(open_backend: Open, tmp_path: Path) -> None:
    backend = open_backend(make_tiny_gguf(tmp_path / "tiny.gguf"))
    short, long = [5, 6, 7], [5 + number % 200 for number in range(1500)]

    before, after = embed(backend, short), [embed(backend, long), embed(backend, short)][1]

    assert np.array_equal(before[0], after[0])


def test_texts_about_the_same_are_closer_than_others(open_backend: Open, starter_model: Path) -> None:
    backend = open_backend(starter_model)
    texts = ["The cat sat on the mat.", "A cat was sitting on a rug.", "Interest rates rose by two percent in March."]

    cat, other_cat, rates = embed(backend, *(backend.vocab.tokenize_alone(text) for text in texts))

    assert cat @ other_cat > cat @ rates + 0.1


def test_an_interrupt_costs_a_piece_and_not_the_vector(open_backend: Open, chat_model: Path) -> None:
    backend = open_backend(chat_model)
    tokens = [5 + number % 200 for number in range(100)]
    (expected,) = embed(backend, tokens, piece=50)

    backend.embedder.open([tokens])
    backend.embedder.step(50)
    backend.interrupt()
    interrupted = backend.embedder.step(50)
    while (done := backend.embedder.step(50)).vectors is None:
        pass

    assert (interrupted.n_tokens, interrupted.vectors) == (0, None)
    assert np.frombuffer(done.vectors[0], "<f4") == pytest.approx(expected, abs=2e-3)


def test_memory_can_be_given_back_and_taken_again(open_backend: Open, bert: TinyBert) -> None:
    backend = open_backend(bert.path)
    before = embed(backend, [2, 5, 3])
    backend.embedder.release()

    assert np.array_equal(embed(backend, [2, 5, 3])[0], before[0])


def test_memory_that_is_not_there_is_an_error_and_not_the_end(
    open_backend: Open, bert: TinyBert, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_backend(bert.path)
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
        with pytest.raises(OutOfMemory, match="a vector of 3 tokens"):
            backend.embedder.open([[2, 5, 3]])

    assert len(embed(backend, [2, 5, 3])) == 1
