"""``check`` finds what must never be, whichever account is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.kv.errors import KvError
from engine.kv.paged import PagedKv
from engine.kv.resident import Path as ResidentPath
from engine.kv.tree import Node
from engine.reuse import Reason
from tests.engine.kv.ledger import SETTLE_S, Ledger, text


def a_page(kv: PagedKv) -> Node:
    """Of the middle of a conversation that is in cells, in RAM and on disk."""
    return next(node for node in kv._tree if node.begin == 4)


def a_path(kv: PagedKv) -> ResidentPath:
    return kv._paths.all()[0]


TAMPERINGS: dict[str, Callable[[PagedKv], object]] = {
    "a page with another key": lambda kv: setattr(a_page(kv), "key", bytes(16)),
    "a page with other tokens": lambda kv: setattr(a_page(kv), "tokens", bytes(16)),
    "a page at another position": lambda kv: setattr(a_page(kv), "begin", 8),
    "a page below another one": lambda kv: setattr(a_page(kv), "parent", kv._tree.root),
    "a page that nothing is above of": lambda kv: a_page(kv).above.children.clear(),
    "a page that is not indexed": lambda kv: kv._tree._nodes.pop(a_page(kv).key),
    "a page remembered as gone": lambda kv: kv._tree._remember(a_page(kv).key, Reason.EVICTED),
    "a conversation that skips a page": lambda kv: a_page(kv).conversations.clear(),
    "a page not held by its path": lambda kv: a_page(kv).paths.add(a_path(kv).seq_id + 1),  # type: ignore[arg-type]
    "a path not known to its page": lambda kv: a_page(kv).paths.clear(),
    "a path that skips a page": lambda kv: a_path(kv).nodes.pop(1),
    "a path with more than its cells": lambda kv: a_path(kv).tail.extend(bytes(4)),
    "a path with an owner nobody knows": lambda kv: setattr(a_path(kv), "owner", "somebody"),
    "a sequence lost": lambda kv: kv._paths._free.pop(),
    "a sequence with two owners": lambda kv: kv._paths._free.append(a_path(kv).seq_id),
    "a cell booked twice": lambda kv: setattr(kv._paths._pool, "n_used", kv._paths._pool.n_used + 1),
    "a copy that is not booked": lambda kv: kv._saved.ram.remove(a_page(kv)),
    "a copy that is booked and not there": lambda kv: setattr(a_page(kv), "ram", None),
    "a copy of another size": lambda kv: setattr(a_page(kv), "ram", b"short"),
    "a sum of sizes": lambda kv: setattr(kv._saved.ram, "used_bytes", 1),
    "a lost end": lambda kv: kv._saved.disk._ends.clear(),
    "a page off the disk below which others are": lambda kv: kv._saved._book_off_disk(a_page(kv)),
    "a page written to no disk": lambda kv: setattr(a_page(kv), "on_disk", False),
    "a written page due to be written": lambda kv: kv._saved._dirty.update({a_page(kv): None}),
    "a budget exceeded": lambda kv: setattr(kv._saved.ram, "budget_bytes", 1),
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_check_finds(tmp_path: Path, tamper: Callable[[PagedKv], object]) -> None:
    ledger = Ledger(folder=tmp_path)
    ledger.ask(text(0, 18), "a")
    ledger.settle()
    ledger.kv.check()

    tamper(ledger.kv)

    with pytest.raises(KvError):
        ledger.kv.check()
    assert ledger.disk is not None
    ledger.disk.close(SETTLE_S)
