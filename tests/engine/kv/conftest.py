"""Ledgers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.app.conftest import small_disk as small_disk
from tests.engine.kv.ledger import Ledger

Make = Callable[..., Ledger]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes ledgers; afterwards each is checked and its thread ended."""
    ledgers: list[Ledger] = []

    def make_ledger(**settings: Any) -> Ledger:
        ledgers.append(Ledger(**settings))
        return ledgers[-1]

    yield make_ledger
    for ledger in ledgers:
        ledger.kv.check()
        ledger.end()
