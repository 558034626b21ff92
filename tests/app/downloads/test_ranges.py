"""Which bytes are here, and who fetches the others."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from app.downloads.pace import Limiter, Speed
from app.downloads.ranges import Board, RangeSet

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


@given(SPANS)
def test_ranges_hold_what_was_added_and_never_touch(spans: list[tuple[int, int]]) -> None:
    ranges = RangeSet(spans)
    model = {byte for start, end in spans for byte in range(start, end)}
    assert {byte for start, end in ranges for byte in range(start, end)} == model
    ordered = list(ranges)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(ordered))
    assert ranges.n_bytes == len(model)
    for position in range(62):
        end = position
        while end in model:
            end += 1
        assert ranges.end_of(position) == end


@given(SPANS, st.integers(1, 20), st.integers(0, 10**6))
def test_connections_fetch_every_byte_once(spans: list[tuple[int, int]], piece: int, seed: int) -> None:
    size, chance = 60, random.Random(seed)
    here = RangeSet((min(a, size), min(b, size)) for a, b in spans)
    missing = size - here.n_bytes
    board = Board(size, here, piece, least_bytes=size)
    claims, fetched = [], 0
    while not board.is_done:
        claim = board.claim()
        if claim is not None:
            claims.append(claim)
        running = chance.choice(claims)
        n_bytes = min(running.end - running.position, chance.randrange(8))
        board.advance(running, n_bytes)
        fetched += n_bytes
        if running.position == running.end or chance.random() < 0.5:
            board.release(running)
            claims.remove(running)
    assert fetched == missing


def test_who_comes_late_shares_the_largest_piece() -> None:
    board = Board(100, RangeSet(), 100, least_bytes=10)
    first = board.claim()
    second = board.claim()
    assert first is not None
    assert second is not None
    assert (first.position, first.end, second.position, second.end) == (0, 50, 50, 100)
    board.advance(first, 40)
    third = board.claim()
    assert third is not None
    assert (second.end, third.position, third.end) == (75, 75, 100)


def test_a_limit_is_kept_whatever_is_read_at_a_time() -> None:
    now = [0.0]
    limiter = Limiter(1000, lambda: now[0])
    n_bytes = 0
    while now[0] < 100:
        n_bytes += 70
        now[0] += limiter.spend(70) or 0.001
    assert abs(n_bytes / now[0] - 1000) < 20


def test_the_speed_that_is_shown_does_not_jump() -> None:
    now = [0.0]
    speed = Speed(lambda: now[0])
    n_bytes, shown = 0, []
    for step in range(200):
        now[0] += 0.1
        n_bytes += 2000 if step % 2 else 0
        shown.append(speed.note(n_bytes))
    assert all(8_000 < value < 12_000 for value in shown[60:])
