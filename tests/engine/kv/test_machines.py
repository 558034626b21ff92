"""The ledger as state machines: against a plain model of what can be reused, and against its own invariants."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.types import TokenId
from tests.engine.kv.ledger import PAGE_BYTES, Ledger, Running, ids

CONVERSATIONS = st.sampled_from(["a", "b", "c", None])


def prompts(n_most: int) -> st.SearchStrategy[list[TokenId]]:
    """Few different tokens, so that beginnings coincide."""
    return st.lists(st.integers(0, 1), min_size=1, max_size=n_most).map(lambda values: ids(*values))


def n_common(a: list[TokenId], b: list[TokenId]) -> int:
    return next((index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


class NothingIsReadTwice(RuleBasedStateMachine):
    """With RAM for everything, all that was ever computed is reused to the token, whatever became of the cells."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(n_cells=200, n_sequences=3)
        self.computed: list[list[TokenId]] = []
        self.running: list[Running] = []

    @precondition(lambda self: len(self.running) < 2)
    @rule(prompt=prompts(40), conversation=CONVERSATIONS)
    def open(self, prompt: list[TokenId], conversation: str | None) -> None:
        running = self.ledger.open(prompt, conversation)
        known = [*self.computed, *(other.tokens[: other.n_computed] for other in self.running)]
        expected = max((n_common(tokens, prompt[:-1]) for tokens in known), default=0)
        assert running.lease.n_ready == expected
        self.running.append(running)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), n_most=st.integers(1, 12))
    def compute(self, data: st.DataObject, n_most: int) -> None:
        self.ledger.compute(data.draw(st.sampled_from(self.running)), n_most)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), answer=prompts(10))
    def answer(self, data: st.DataObject, answer: list[TokenId]) -> None:
        data.draw(st.sampled_from(self.running)).tokens.extend(answer)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        running = data.draw(st.sampled_from(self.running))
        self.running.remove(running)
        self.ledger.close(running)
        self.computed.append(running.tokens[: running.n_computed])

    @rule()
    def rest(self) -> None:
        self.ledger.kv.idle_work()

    @rule(n_cells=st.integers(0, 100))
    def reserve(self, n_cells: int) -> None:
        assert self.ledger.kv.reserve(n_cells)

    @invariant()
    def holds(self) -> None:
        self.ledger.kv.check()


class NothingIsEverWrong(RuleBasedStateMachine):
    """Too little of everything, dropping, pinning, restarts: what is claimed is there, and budgets hold."""

    can_cut = True

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ram_pages, self.disk_bytes = 6, 3000
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(
            n_cells=40,
            n_sequences=3,
            ram_bytes=self.ram_pages * PAGE_BYTES,
            folder=Path(self.folder.name),
            disk_bytes=self.disk_bytes,
            can_cut=self.can_cut,
        )
        self.running: list[Running] = []

    @rule(prompt=prompts(20), conversation=CONVERSATIONS, is_patient=st.booleans())
    def open(self, prompt: list[TokenId], conversation: str | None, is_patient: bool) -> None:
        if is_patient:
            self.ledger.fetch(prompt)
        if (running := self.ledger.try_open(prompt, conversation)) is not None:
            self.running.append(running)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), n_most=st.integers(1, 12), answer=st.lists(st.integers(0, 1), max_size=4))
    def compute(self, data: st.DataObject, n_most: int, answer: list[int]) -> None:
        running = data.draw(st.sampled_from(self.running))
        running.tokens.extend(ids(*answer))
        if self.ledger.kv.reserve(len(running.tokens[running.n_computed :][:n_most])):
            self.ledger.compute(running, n_most)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), n_leftovers=st.integers(0, 3), n_back=st.integers(0, 3))
    def spoil(self, data: st.DataObject, n_leftovers: int, n_back: int) -> None:
        running = data.draw(st.sampled_from(self.running))
        if self.ledger.kv.reserve(n_leftovers):
            self.ledger.cells.compute(running.seq_id, ids(*[7] * n_leftovers))
        running.n_computed = self.ledger.kv.spoil(running.seq_id, max(0, running.n_computed - n_back))
        self.ledger.check(running)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), is_trusted=st.booleans())
    def close(self, data: st.DataObject, is_trusted: bool) -> None:
        running = data.draw(st.sampled_from(self.running))
        self.running.remove(running)
        if is_trusted:
            self.ledger.close(running)
        else:
            self.ledger.kv.abandon(running.id)

    @rule(n_times=st.integers(1, 5))
    def rest(self, n_times: int) -> None:
        for _ in range(n_times):
            self.ledger.kv.idle_work()
            self.ledger.settle_disk()

    @rule()
    def settle(self) -> None:
        self.ledger.settle()
        assert self.disk_used() <= self.disk_bytes
        assert self.disk_used() <= self.ledger.kv.usage().disk_bytes  # more where a file was lost unnoticed

    @rule(conversation=st.sampled_from(["a", "b", "c"]))
    def drop(self, conversation: str) -> None:
        self.ledger.kv.drop(conversation)

    @rule(conversation=st.sampled_from(["a", "b"]), is_pinned=st.booleans())
    def pin(self, conversation: str, is_pinned: bool) -> None:
        self.ledger.kv.pin(conversation, is_pinned)

    @rule(ram_pages=st.integers(0, 8), disk_bytes=st.integers(0, 4000))
    def set_budgets(self, ram_pages: int, disk_bytes: int) -> None:
        self.ram_pages, self.disk_bytes = ram_pages, disk_bytes
        self.ledger.kv.set_budgets(ram_pages * PAGE_BYTES, disk_bytes)

    @rule(which=st.integers(0, 30))
    def lose_a_file(self, which: int) -> None:
        files = sorted(Path(self.folder.name).glob("*/*.page"))
        if files:
            files[which % len(files)].unlink()

    @rule()
    def restart(self) -> None:
        self.ledger.end()
        self.start()

    def disk_used(self) -> int:
        return sum(path.stat().st_size for path in Path(self.folder.name).glob("*/*"))

    @invariant()
    def holds(self) -> None:
        self.ledger.settle_disk()  # so that the disk's thread decides nothing
        self.ledger.kv.check()
        for running in self.running:
            self.ledger.check(running)
        self.ledger.kv.conversations()

    def teardown(self) -> None:
        self.ledger.end()
        self.folder.cleanup()


class NothingIsEverWrongWithWholeStates(NothingIsEverWrong):
    can_cut = False


TestNothingIsReadTwice = NothingIsReadTwice.TestCase
TestNothingIsReadTwice.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestNothingIsEverWrong = NothingIsEverWrong.TestCase
TestNothingIsEverWrong.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestNothingIsEverWrongWithWholeStates = NothingIsEverWrongWithWholeStates.TestCase
TestNothingIsEverWrongWithWholeStates.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
