"""The small model that guesses for a larger one, among those of the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.library import Library
from app.partners import draft_config, partner_of
from app.paths import Paths
from app.settings import Settings
from engine.config import DraftConfig, DraftMode
from engine.errors import InvalidRequest, ModelFileError
from tests.doubles.gguf import RawTensor, make_tiny_gguf


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A large model, two small ones that fit it, and one with another vocabulary."""
    paths = Paths.below(tmp_path)
    paths.ensure()
    weights = RawTensor((1 << 18,), 0, bytes(1 << 20))
    make_tiny_gguf(paths.models / "large.gguf", tensors={"blk.0.extra": weights, "blk.1.extra": weights})
    make_tiny_gguf(paths.models / "small.gguf")
    make_tiny_gguf(paths.models / "foreign.gguf", tokenizer="llama")
    made = Library(paths)
    made.entries()
    return made


def test_the_best_partner_of_the_library_is_proposed(library: Library) -> None:
    partner = partner_of(library, library.find("large"))

    assert partner is not None
    assert partner.id == "small"
    assert draft_config(Settings(), library, library.find("large")) == DraftConfig(model=str(partner.path))


def test_a_small_model_has_none_and_is_not_in_need_of_one(library: Library) -> None:
    assert partner_of(library, library.find("small")) is None
    assert draft_config(Settings(), library, library.find("small")) == DraftConfig()


def test_one_that_does_not_fit_is_refused_with_the_reason(library: Library) -> None:
    with pytest.raises(InvalidRequest, match="has a tokenizer of another kind"):
        draft_config(Settings(), library, library.find("large"), "foreign")
    with pytest.raises(ModelFileError):
        draft_config(Settings(), library, library.find("large"), "none")


def test_what_the_user_chose_counts(library: Library) -> None:
    off = Settings(drafting=DraftMode.OFF)
    fixed = Settings(drafting=DraftMode.FIXED, n_drafted=7)

    assert draft_config(off, library, library.find("large")) == DraftConfig(DraftMode.OFF)
    assert draft_config(fixed, library, library.find("large"), "small").n_tokens == 7
