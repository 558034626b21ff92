"""Numbers and dates as a person reads them."""

from __future__ import annotations

import calendar
from datetime import date

_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_COUNTS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))
_DAYS_OF_LAST_WEEK = 7


def size_text(size_bytes: int) -> str:
    """In decimal units, as disks and downloads are sold: ``4.7 GB``, ``98 MB``."""
    return _scaled(size_bytes, _UNITS, "bytes")


def count_text(n: int) -> str:
    """``8.2 B``, ``135 M``."""
    return _scaled(n, _COUNTS, "").strip()


def tokens_text(n: int) -> str:
    """``1 token``, ``1,204 tokens``."""
    return f"{n:,} token" if n == 1 else f"{n:,} tokens"


def group_label(day: date, today: date) -> str:
    """The heading under which something of ``day`` stands in a list that is sorted by time."""
    n_days = (today - day).days
    if n_days <= 0:
        return "Today"
    if n_days == 1:
        return "Yesterday"
    if n_days <= _DAYS_OF_LAST_WEEK:
        return "Last week"
    month = calendar.month_name[day.month]
    return month if day.year == today.year else f"{month} {day.year}"


def _scaled(n: int, units: tuple[tuple[int, str], ...], smallest: str) -> str:
    for factor, unit in units:
        if n >= factor:
            value = n / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{n} {smallest}"
