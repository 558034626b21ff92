from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ui.widgets.transcript.heights import HeightIndex

HEIGHTS = st.lists(st.integers(0, 1_000), min_size=1, max_size=60)


@given(HEIGHTS, HEIGHTS, st.data())
def test_it_knows_what_a_list_of_heights_knows(start: list[int], more: list[int], data: st.DataObject) -> None:
    index = HeightIndex(start)
    plain = list(start)
    for height in more:
        index.append(height)
        plain.append(height)
        changed = data.draw(st.integers(0, len(plain) - 1))
        plain[changed] = data.draw(st.integers(0, 1_000))
        index.set(changed, plain[changed])

    assert len(index) == len(plain)
    assert [index[i] for i in range(len(plain))] == plain
    assert [index.top_of(i) for i in range(len(plain) + 1)] == [sum(plain[:i]) for i in range(len(plain) + 1)]
    assert index.total == sum(plain)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(-5, 3_000))
def test_it_finds_what_stands_somewhere(heights: list[int], y: int) -> None:
    found = HeightIndex(heights).at(y)

    expected = next((i for i in range(len(heights)) if sum(heights[: i + 1]) > y), len(heights) - 1)
    assert found == expected


def test_what_has_no_height_is_passed_over() -> None:
    assert HeightIndex([10, 0, 10]).at(10) == 2
