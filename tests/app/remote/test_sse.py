"""Server-sent events, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.remote.sse import EventTooLong, ServerEvent, SseParser


def parsed(*pieces: bytes) -> list[ServerEvent]:
    parser = SseParser(10_000)
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", ["a"]),
        (b"data:a\r\n\r\n", ["a"]),
        (b"data: a\rdata: b\r\r", ["a\nb"]),
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b": a comment\n\ndata: a\n\n", ["a"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b"data\n\n", [""]),
        (b"event: x\n\n", []),
        (b"id: 1\nretry: 9\ndata: a\n\n", ["a"]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"data: \xff\n\n", ["\ufffd"]),
    ],
)
def test_events_as_the_standard_has_them(stream: bytes, expected: list[str]) -> None:
    assert [event.data for event in parsed(stream)] == expected


def test_an_event_may_have_a_name() -> None:
    assert parsed(b"event: error\ndata: a\n\ndata: b\n\n") == [ServerEvent("a", "error"), ServerEvent("b")]


LINES = st.sampled_from(
    [b"data: ab", "data: \u00e4\U0001f600".encode(), b"data", b": ping", b"event: x", b"", b"", b"id: 1"]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=30)


@given(STREAMS, st.lists(st.integers(0, 400), max_size=20))
def test_where_the_stream_is_cut_makes_no_difference(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(line + end for line, end in lines)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(places)]

    assert parsed(*pieces) == parsed(stream)


def test_an_event_that_does_not_end_is_refused_and_one_that_waits_for_long_is_not() -> None:
    with pytest.raises(EventTooLong):
        parsed(b"data: ", *[b"x" * 100] * 200)

    assert parsed(*[b": keep-alive, nothing new yet\n\n"] * 1000, b"data: a\n\n")[-1].data == "a"
