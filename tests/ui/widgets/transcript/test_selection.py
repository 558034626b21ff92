from __future__ import annotations

from ui.widgets.transcript.selection import END, Place, Selection

N = 10
DOWN = Selection(Place(1, 2, 3), Place(2, 1, 4))
UP = Selection(Place(2, 1, 4), Place(1, 2, 3))


def test_blocks_between_are_selected_as_a_whole() -> None:
    assert DOWN.range_in(1, 3, N) == (0, N)
    assert UP.range_in(1, 3, N) == (N, 0)


def test_the_first_and_the_last_block_are_selected_in_part() -> None:
    assert DOWN.range_in(1, 2, N) == (3, N)
    assert DOWN.range_in(2, 1, N) == (0, 4)
    assert UP.range_in(1, 2, N) == (N, 3)
    assert UP.range_in(2, 1, N) == (4, 0)


def test_other_blocks_are_not_selected() -> None:
    assert DOWN.range_in(1, 1, N) is None
    assert DOWN.range_in(2, 2, N) is None
    assert DOWN.range_in(0, 9, N) is None


def test_a_place_behind_the_end_is_the_end() -> None:
    whole = Selection(Place(0, 0, 0), Place(0, END, END))

    assert whole.range_in(0, 7, N) == (0, N)
    assert Selection(Place(0, 0, 99), Place(0, 0, END)).range_in(0, 0, N) == (N, N)


def test_a_selection_without_extent_is_empty() -> None:
    assert Selection(Place(0, 0, 1), Place(0, 0, 1)).is_empty
    assert not DOWN.is_empty
