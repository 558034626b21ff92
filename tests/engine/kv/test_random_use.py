"""Ten thousand random operations, each followed by all checks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.types import TokenId
from tests.engine.kv.conftest import Make
from tests.engine.kv.ledger import PAGE_BYTES, Ledger, Running, ids

CONVERSATIONS = ("a", "b", "c", "d", None)
N_OPERATIONS = 2_500


class Player:
    """Plays conversations that grow, branch, and are given up, dropped and pinned, with too little of everything."""

    def __init__(self, ledger: Ledger, folder: Path | None, seed: int) -> None:
        self.ledger = ledger
        self.folder = folder
        self.random = random.Random(seed)
        self.running: list[Running] = []
        self.texts: list[list[TokenId]] = [[]]
        self.n_reused = 0
        self.actions = (
            *[self.open] * 6,
            *[self.compute] * 12,
            *[self.close] * 5,
            *[self.rest] * 6,
            self.spoil,
            self.abandon,
            self.drop,
            self.pin,
            self.lose_a_file,
            self.set_budgets,
        )

    def play(self) -> None:
        self.random.choice(self.actions)()
        self.ledger.kv.check()
        for running in self.running:
            self.ledger.check(running)
        usage = self.ledger.kv.usage()
        assert usage.ram_bytes <= usage.ram_budget_bytes
        assert usage.cells_used <= usage.n_cells

    def open(self) -> None:
        text = self.random.choice(self.texts)
        kept = text[: self.random.randint(0, len(text))] if self.random.random() < 0.5 else text
        prompt = kept[:30] + ids(*(self.random.randint(0, 2) for _ in range(self.random.randint(1, 8))))
        if self.random.random() < 0.8:
            self.ledger.fetch(prompt)
        if (running := self.ledger.try_open(prompt, self.random.choice(CONVERSATIONS))) is not None:
            self.running.append(running)
            self.n_reused += running.lease.n_ready

    def compute(self) -> None:
        if (running := self.any_running()) is None:
            return
        if running.n_computed == len(running.tokens):
            running.tokens += ids(self.random.randint(0, 2))
        n_most = self.random.randint(1, 12)
        if self.ledger.kv.reserve(min(n_most, len(running.tokens) - running.n_computed)):
            self.ledger.compute(running, n_most)

    def close(self) -> None:
        if (running := self.any_running()) is not None:
            self.running.remove(running)
            self.ledger.close(running)
            self.texts = [*self.texts[-7:], running.tokens]

    def abandon(self) -> None:
        if (running := self.any_running()) is not None:
            self.running.remove(running)
            self.ledger.kv.abandon(running.id)

    def spoil(self) -> None:
        if (running := self.any_running()) is not None:
            n_confirmed = max(0, running.n_computed - self.random.randint(0, 3))
            running.n_computed = self.ledger.kv.spoil(running.seq_id, n_confirmed)

    def rest(self) -> None:
        if self.random.random() < 0.05:
            self.ledger.settle()
            assert self.ledger.kv.usage().disk_bytes <= self.ledger.kv.usage().disk_budget_bytes
        for _ in range(self.random.randint(1, 4)):
            self.ledger.kv.idle_work()

    def drop(self) -> None:
        conversation = self.random.choice(["a", "b", "c"])
        self.ledger.kv.drop(conversation)
        assert conversation not in {cache.id for cache in self.ledger.kv.conversations()}

    def pin(self) -> None:
        self.ledger.kv.pin(self.random.choice(["a", "b"]), self.random.random() < 0.5)

    def set_budgets(self) -> None:
        if self.random.random() < 0.2:
            self.ledger.kv.set_budgets(self.random.randint(0, 12) * PAGE_BYTES, self.random.randint(0, 6000))

    def lose_a_file(self) -> None:
        if self.folder is not None and (files := sorted(self.folder.glob("*/*.page"))):
            self.random.choice(files).unlink(missing_ok=True)

    def any_running(self) -> Running | None:
        return self.random.choice(self.running) if self.running else None


@pytest.mark.parametrize("can_cut", [True, False], ids=["pages", "whole states"])
@pytest.mark.parametrize("has_disk", [True, False], ids=["with a disk", "without"])
def test_random_use_is_always_right(make: Make, tmp_path: Path, can_cut: bool, has_disk: bool) -> None:
    folder = tmp_path if has_disk else None
    ledger = make(n_cells=60, n_sequences=4, ram_bytes=8 * PAGE_BYTES, folder=folder, disk_bytes=5000, can_cut=can_cut)
    player = Player(ledger, folder, seed=1)

    for _ in range(N_OPERATIONS):
        player.play()

    assert player.n_reused > N_OPERATIONS / 10
