from __future__ import annotations

from datetime import date

import pytest

from ui.models.words import count_text, group_label, size_text

TODAY = date(2026, 3, 15)


@pytest.mark.parametrize(
    ("day", "label"),
    [
        (date(2026, 3, 15), "Today"),
        (date(2026, 3, 16), "Today"),  # the clock was set back
        (date(2026, 3, 14), "Yesterday"),
        (date(2026, 3, 13), "Last week"),
        (date(2026, 3, 8), "Last week"),
        (date(2026, 3, 7), "March"),
        (date(2026, 1, 1), "January"),
        (date(2025, 12, 31), "December 2025"),
    ],
)
def test_days_have_the_heading_a_person_expects(day: date, label: str) -> None:
    assert group_label(day, TODAY) == label


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (98_000_000, "98 MB"), (4_700_000_000, "4.7 GB"), (16_400_000_000, "16 GB")],
)
def test_sizes_are_in_decimal_units(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(("n", "text"), [(12, "12"), (134_515_008, "135 M"), (8_190_735_360, "8.2 B")])
def test_counts_are_short(n: int, text: str) -> None:
    assert count_text(n) == text
