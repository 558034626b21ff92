"""Lookup of what followed the last tokens before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.spec.ngram import LONGEST, SHORTEST, NgramIndex
from engine.types import TokenId


def guess(text: str, n_most: int = 4) -> tuple[str, int]:
    tokens, n_alike = NgramIndex().guess([TokenId(ord(letter)) for letter in text], n_most)
    return "".join(map(chr, tokens)), n_alike


def test_what_followed_before_is_guessed() -> None:
    assert guess("the cat sat; the c") == ("at s", 5)


def test_nothing_is_guessed_after_what_is_new() -> None:
    assert guess("the cat sat; a dog") == ("", 0)
    assert guess("ab") == ("", 0)


def test_the_place_that_is_most_alike_counts_and_of_those_the_latest() -> None:
    assert guess("red cat 1, big cat 2, red cat ")[0][0] == "1"
    assert guess("red cat 1, red cat 2, red cat ")[0][0] == "2"


def test_no_more_is_guessed_than_was_asked_for_or_is_there() -> None:
    assert guess("abcdefgh abc", 2)[0] == "de"
    assert guess("aaaaaa", 3)[0]


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 8))
def test_a_guess_is_a_quotation_and_growing_changes_nothing(numbers: list[int], n_most: int) -> None:
    growing, tokens = NgramIndex(), [TokenId(number) for number in numbers]
    found, n_alike = (), 0
    for end in range(len(tokens) + 1):
        found, n_alike = growing.guess(tokens[:end], n_most)

    assert (found, n_alike) == NgramIndex().guess(tokens, n_most)
    assert len(found) <= n_most
    if found:
        assert SHORTEST <= n_alike <= LONGEST
        quoted = [*tokens[-n_alike:], *found]
        assert any(tokens[at : at + len(quoted)] == quoted for at in range(len(tokens)))
