"""What a model is called in the list."""

from __future__ import annotations

import pytest

from app.library.facts import display_name


@pytest.mark.parametrize(
    ("stem", "shown"),
    [
        ("SmolLM2-135M-Instruct-Q4_1", "SmolLM2 135M Instruct"),
        ("SmolLM2-135M-Instruct.Q4_K_M", "SmolLM2 135M Instruct"),
        ("qwen2.5-7b-instruct-q4_k_m", "qwen2.5 7b instruct"),
        ("Llama-3.3-70B-Instruct-Q5_K_S-00001-of-00002", "Llama 3.3 70B Instruct"),
        ("gemma-3-12b-it-IQ4_XS", "gemma 3 12b it"),
        ("Qwen3-8B-UD-Q4_K_XL", "Qwen3 8B"),
        ("gpt-oss-20b-mxfp4", "gpt oss 20b"),
        ("Mistral-Small-3.2-24B-BF16", "Mistral Small 3.2 24B"),
        ("notes_f16", "notes"),
    ],
)
def test_the_files_name_is_shown_in_words_and_without_its_type(stem: str, shown: str) -> None:
    assert display_name(stem, "Left over from training") == shown


@pytest.mark.parametrize("stem", ["ggml-model-q4_0", "model", "model-F16"])
def test_a_file_name_that_says_nothing_gives_way_to_the_name_inside(stem: str) -> None:
    assert display_name(stem, "Tiny Llama") == "Tiny Llama"


def test_there_is_always_something_to_show() -> None:
    assert display_name("Q4_0", "") == "Q4 0"
    assert display_name("-", "") == "-"
