"""TextStream against the plain definition of what it does."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.text import TextStream

NASTY_BYTES = st.sampled_from([b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x99", b"\x80", b"\xed\xa0\x80", b"\xf5"])


def cut(text: str, stop: tuple[str, ...]) -> tuple[str, str | None]:
    """The definition: the first prefix that ends in a stop string loses the longest one that it ends in."""
    for end in range(len(text) + 1):
        found = [s for s in stop if s and text[:end].endswith(s)]
        if found:
            longest = max(found, key=len)
            return text[: end - len(longest)], longest
    return text, None


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def letters(alphabet: str, max_size: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, max_size=max_size)


class TestAgainstTheDefinition:
    @given(
        st.lists(letters("aäb🙂\n", 8).map(str.encode) | NASTY_BYTES, max_size=12).map(b"".join),
        st.lists(letters("aäb🙂\ufffd", 5), max_size=4).map(tuple),
        st.lists(st.integers(0, 200), max_size=30),
    )
    def test_any_bytes_split_anywhere(self, data: bytes, stop: tuple[str, ...], cuts: list[int]) -> None:
        stream = TextStream(stop)
        text = "".join(stream.push(piece) for piece in pieces_of(data, cuts)) + stream.finish()
        assert (text, stream.stopped) == cut(data.decode("utf-8", "replace"), stop)

    @given(letters("ab", 30), st.lists(letters("ab", 6), max_size=4).map(tuple))
    def test_holds_back_only_what_may_become_a_stop_string(self, text: str, stop: tuple[str, ...]) -> None:
        stream, shown = TextStream(stop), ""
        for number, letter in enumerate(text):
            shown += stream.push(letter.encode())
            if stream.stopped is not None:
                return
            held = text[len(shown) : number + 1]
            assert held == "" or any(s.startswith(held) for s in stop)

    @given(st.binary(max_size=40))
    def test_at_most_three_bytes_wait_for_their_character(self, data: bytes) -> None:
        stream = TextStream()
        shown = "".join(stream.push(data[n : n + 1]) for n in range(len(data)))
        assert len(data.decode("utf-8", "replace")) - len(shown) <= 3
        assert shown + stream.finish() == data.decode("utf-8", "replace")


class TestCharacters:
    def test_a_character_in_four_pieces_appears_when_it_is_whole(self) -> None:
        stream = TextStream()
        assert [stream.push(bytes([byte])) for byte in "🙂".encode()] == ["", "", "", "🙂"]

    def test_a_character_that_stays_incomplete_becomes_a_replacement(self) -> None:
        stream = TextStream()
        assert stream.push(b"a\xe2\x82") == "a"
        assert stream.finish() == "\ufffd"

    def test_an_invalid_byte_does_not_wait(self) -> None:
        assert TextStream().push(b"\xffok") == "\ufffdok"

    def test_an_interrupted_character_does_not_wait(self) -> None:
        stream = TextStream()
        assert stream.push(b"\xe2\x82") == ""
        assert stream.push(b"x") == "\ufffdx"


class TestStopStrings:
    def test_one_spread_over_pieces_is_never_shown(self) -> None:
        stream = TextStream(("\nUser:",))
        assert [stream.push(piece) for piece in (b"Yes.\nU", b"se", b"r", b": and")] == ["Yes.", "", "", ""]
        assert stream.stopped == "\nUser:"
        assert stream.push(b"more") == ""
        assert stream.finish() == ""

    def test_a_beginning_that_comes_to_nothing_is_shown(self) -> None:
        stream = TextStream(("</end>",))
        assert [stream.push(piece) for piece in (b"a </e", b"m>")] == ["a ", "</em>"]
        assert stream.stopped is None

    def test_a_held_beginning_is_shown_at_the_end(self) -> None:
        stream = TextStream(("###",))
        assert stream.push(b"C##") == "C"
        assert stream.finish() == "##"

    def test_the_one_that_is_complete_first_counts(self) -> None:
        stream = TextStream(("abcdef", "cd"))
        assert stream.push(b"xabcdef") == "xab"
        assert stream.stopped == "cd"

    def test_of_two_that_end_together_the_longer_counts(self) -> None:
        stream = TextStream(("b", "ab"))
        assert stream.push(b"xab") == "x"
        assert stream.stopped == "ab"

    @pytest.mark.parametrize("stop", [(), ("",)])
    def test_none_or_an_empty_one_stops_nothing(self, stop: tuple[str, ...]) -> None:
        stream = TextStream(stop)
        assert stream.push(b"abc") == "abc"
        assert stream.stopped is None

    def test_a_stop_string_of_a_split_character(self) -> None:
        stream = TextStream(("é",))
        assert [stream.push(piece) for piece in (b"caf\xc3", b"\xa9s")] == ["caf", ""]
        assert stream.stopped == "é"
