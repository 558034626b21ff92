"""A death becomes one sentence with its cause."""

from __future__ import annotations

import pytest

from engine.backend import ABORT_MARK
from engine.client.obituary import obituary


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [(-9, "memory runs out"), (-11, "SIGSEGV"), (-7, "drive went away"), (-6, "SIGABRT"), (3, "code 3")],
)
def test_the_cause_is_named(exit_code: int, words: str) -> None:
    error = obituary("/m/tiny.gguf", exit_code=exit_code, stderr_tail="", hang=None, was_loading=False)

    assert words in error.text
    assert "tiny.gguf" in error.text
    assert "kept" in error.hint


def test_the_text_of_an_assert_is_shown_without_the_folders_it_was_built_in() -> None:
    tail = f"noise\n{ABORT_MARK}/somewhere/build/ggml/src/ggml.c:123: GGML_ASSERT(x > 0) failed\n"

    error = obituary("/m/tiny.gguf", exit_code=-6, stderr_tail=tail, hang=None, was_loading=True)

    assert "ggml.c:123: GGML_ASSERT(x > 0) failed" in error.text
    assert "/somewhere" not in error.text
    assert "loaded" in error.text


def test_a_hang_that_we_ended_is_not_called_a_kill_by_the_system() -> None:
    error = obituary("/m/a.gguf", exit_code=-9, stderr_tail="", hang="It has not answered.", was_loading=False)

    assert "It has not answered." in error.text
    assert "memory" not in error.text
