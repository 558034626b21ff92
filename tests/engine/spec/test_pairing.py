"""Which model can draft for which, from headers alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.gguf import GgufHeader, read_header
from engine.spec.pairing import best_partner, why_not
from tests.doubles.gguf import RawTensor, Typed, Value, make_tiny_gguf, tiny_vocabulary


@pytest.fixture
def target(tmp_path: Path) -> GgufHeader:
    """Twice the size of the tiny ones."""
    path = tmp_path / "target.gguf"
    ballast = {f"blk.{number}.extra": RawTensor((1 << 18,), 0, bytes(1 << 20)) for number in range(2)}
    return read_header(make_tiny_gguf(path, tensors=ballast))


def draft(folder: Path, name: str = "draft", tokenizer: str = "gpt2", **metadata: Value | None) -> GgufHeader:
    changes = {f"tokenizer.ggml.{key}": value for key, value in metadata.items()}
    return read_header(make_tiny_gguf(folder / f"{name}.gguf", metadata=changes, tokenizer=tokenizer))


def test_the_same_vocabulary_and_a_smaller_model_go_together(target: GgufHeader, tmp_path: Path) -> None:
    assert why_not(target, draft(tmp_path)) is None


def test_the_same_tokens_in_another_order_are_refused(target: GgufHeader, tmp_path: Path) -> None:
    tokens = tiny_vocabulary()[0]
    tokens[10], tokens[11] = tokens[11], tokens[10]

    assert why_not(target, draft(tmp_path, tokens=tokens)) == "has another vocabulary: token 10 differs"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokenizer": "llama"}, "has a tokenizer of another kind"),
        ({"tokens": tiny_vocabulary()[0][:-1]}, "has a vocabulary of 262 tokens and not of 263"),
        ({"tokens": None}, "does not say which vocabulary it has"),
        ({"token_type": Typed("arr:i32", [1] * 263)}, "marks other tokens as special"),
        ({"eos_token_id": Typed("u32", 1)}, "uses another token for EOS"),
        ({"pre": "another"}, "was trained to split text into words in another way"),
    ],
)
def test_whatever_else_differs_is_named(
    target: GgufHeader, tmp_path: Path, changes: dict[str, Value | None], reason: str
) -> None:
    assert why_not(target, draft(tmp_path, **changes)) == reason  # type: ignore[arg-type]  # the tokenizer's name is a str


def test_a_model_of_the_same_size_is_refused(tmp_path: Path) -> None:
    one, other = draft(tmp_path, "one"), draft(tmp_path, "other")

    assert why_not(one, other) == "is not much smaller"


def test_the_smallest_that_fits_is_the_best(target: GgufHeader, tmp_path: Path) -> None:
    small = draft(tmp_path, "small")
    larger = read_header(make_tiny_gguf(tmp_path / "larger.gguf", tensors={"extra": RawTensor((4,), 0, bytes(16))}))
    foreign = draft(tmp_path, "foreign", tokenizer="llama")

    assert best_partner(target, [target, larger, foreign, small]) == small
    assert best_partner(target, [target, foreign]) is None
