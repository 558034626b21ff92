"""Numbers as a person reads them, and columns under each other."""

from __future__ import annotations

from collections.abc import Sequence

_SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_COUNTS = ((10**9, "B"), (10**6, "M"), (10**3, "k"))
_GAP = "  "


def size_text(size_bytes: int) -> str:
    """In decimal units, as disks and downloads are sold: ``4.7 GB``, ``98 MB``."""
    return _scaled(size_bytes, _SIZES, " bytes")


def count_text(n: int) -> str:
    """``8.2 B``, ``135 M``."""
    return _scaled(n, _COUNTS, "")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _scaled(n: int, units: tuple[tuple[int, str], ...], smallest: str) -> str:
    for factor, unit in units:
        if n >= factor:
            value = n / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{n}{smallest}"
