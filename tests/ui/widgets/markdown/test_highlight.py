from __future__ import annotations

import pytest

import resources
from ui.widgets.markdown.highlight import MAX_HIGHLIGHTED_CHARS, runs


def colored(code: str, language: str) -> dict[str, str]:
    return {code[run.start : run.start + run.n_chars]: run.color for run in runs(code, language)}


def test_words_of_a_language_have_colours() -> None:
    assert colored('def f(x: int) -> str:\n    return "a" + 1  # why', "python") == {
        "def": "code-keyword",
        "f": "code-function",
        "int": "code-function",
        "str": "code-function",
        "return": "code-keyword",
        '"': "code-string",
        "a": "code-string",
        "1": "code-number",
        "# why": "code-comment",
    }


def test_a_comment_that_ends_the_listing_is_a_comment() -> None:
    assert colored("// why", "rust") == {"// why": "code-comment"}


@pytest.mark.parametrize("language", ["", "no-such-language", "text"])
def test_without_a_known_language_nothing_has_a_colour(language: str) -> None:
    assert runs("def f(): pass", language) == []


def test_very_long_listings_stay_plain() -> None:
    assert runs("x = 1\n" * MAX_HIGHLIGHTED_CHARS, "python") == []


@pytest.mark.parametrize(
    "language",
    ["python", "c", "cpp", "javascript", "json", "bash", "html", "css", "sql", "diff", "rust", "yaml", "toml"],
)
def test_every_colour_is_one_of_the_theme(language: str) -> None:
    code = "<a href='x'># x = 1; // y\n+ added\n- gone\nclass A(B): 'c' /* d */ null true\n$ @decorator { x: 1px }"

    assert {run.color for run in runs(code, language)} <= set(resources.tokens()["colors"]["light"])
