"""A ledger over fake cells, and a client that plays requests and checks every claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from engine.cells import KvLayout
from engine.kv.costs import Costs, Rate
from engine.kv.disk import DiskTier
from engine.kv.paged import Lease, PagedKv
from engine.reuse import Reason
from engine.types import RequestId, SeqId, TokenId
from tests.doubles.cells import BYTES_PER_TOKEN, FakeCells

PAGE = 4
PAGE_BYTES = PAGE * BYTES_PER_TOKEN + 16
PLENTY = 10**9
SETTLE_S = 30.0
_numbers = count()


def ids(*values: int) -> list[TokenId]:
    return [TokenId(value) for value in values]


def text(begin: int, n_tokens: int) -> list[TokenId]:
    """Tokens that occur in no other text that begins elsewhere."""
    return ids(*range(begin, begin + n_tokens))


def costs(*, restore: float = 1e-12, disk_read: float = 1e-12) -> Costs:
    """Fetching costs so many seconds a byte: next to nothing, so that everything that is saved is used."""
    costs = Costs()
    costs.save, costs.restore, costs.disk_read = Rate(1e-12), Rate(restore), Rate(disk_read)
    return costs


@dataclass
class Running:
    """A request that was opened: ``tokens`` is its prompt and what came after it."""

    id: RequestId
    lease: Lease
    tokens: list[TokenId]
    n_computed: int

    @property
    def seq_id(self) -> SeqId:
        return self.lease.seq_id


@dataclass
class Ledger:
    """Thread: the test's. After every step the cells must hold exactly the tokens that the ledger claims."""

    n_cells: int = 64
    n_sequences: int = 8
    ram_bytes: int = PLENTY
    folder: Path | None = None
    disk_bytes: int = PLENTY
    can_cut: bool = True
    fingerprint: str = "model"
    costs: Costs = field(default_factory=costs)
    clock: Callable[[], float] = lambda: 0.0
    is_settled: bool = True

    def __post_init__(self) -> None:
        self.cells = FakeCells(self.n_cells, self.can_cut)
        self.disk = self._make_disk(self.folder) if self.folder else None
        layout = KvLayout(self.n_cells, self.n_sequences, BYTES_PER_TOKEN, self.can_cut, self.fingerprint, PAGE)
        self.kv = PagedKv(layout, self.cells, self.ram_bytes, self.disk, self.costs, self.clock)
        if self.is_settled:
            self.settle()

    def _make_disk(self, folder: Path) -> DiskTier:
        return DiskTier(folder, self.fingerprint, self.disk_bytes, clock=self.clock)

    def fetch(self, prompt: Sequence[TokenId]) -> None:
        """Until everything that was wanted from disk is there."""
        while not self.kv.fetch(prompt):
            self.settle_disk()

    def try_open(self, prompt: Sequence[TokenId], conversation: str | None = None) -> Running | None:
        request_id = RequestId(f"request-{next(_numbers)}")
        lease = self.kv.open(request_id, conversation, prompt)
        if lease is None:
            return None
        assert lease.n_ready < len(prompt)
        assert lease.report.n_prompt - lease.report.n_new == lease.n_ready
        running = Running(request_id, lease, list(prompt), lease.n_ready)
        self.check(running)
        return running

    def open(self, prompt: Sequence[TokenId], conversation: str | None = None) -> Running:
        self.fetch(prompt)
        running = self.try_open(prompt, conversation)
        assert running is not None, "there was no room"
        return running

    def compute(self, running: Running, n_most: int | None = None) -> None:
        """Compute what is due of the prompt and the answer, in one step."""
        tokens = running.tokens[running.n_computed :][:n_most]
        assert self.kv.reserve(len(tokens)), "there were no cells"
        self.cells.compute(running.seq_id, tokens)
        self.kv.extend(running.seq_id, running.n_computed, tokens)
        running.n_computed += len(tokens)
        self.check(running)

    def close(self, running: Running) -> None:
        self.kv.close(running.id)
        self.kv.check()

    def ask(self, prompt: Sequence[TokenId], conversation: str | None = None, answer: Sequence[TokenId] = ()) -> Lease:
        """A whole request: prompt, answer, done."""
        running = self.open(prompt, conversation)
        self.compute(running)
        running.tokens += answer
        self.compute(running)
        self.close(running)
        return running.lease

    def check(self, running: Running) -> None:
        self.kv.check()
        assert self.cells.tokens(running.seq_id) == running.tokens[: running.n_computed]
        assert self.cells.n_used == self.kv.usage().cells_used

    def settle(self) -> None:
        """Until nothing is left to be done, neither here nor on the disk's thread."""
        while True:
            while self.kv.idle_work():
                self.kv.check()
            if self.disk is None:
                return
            self.settle_disk()
            if not self.kv.idle_work():
                self.settle_disk()  # its last news may have asked for something
                return

    def settle_disk(self) -> None:
        if self.disk is not None:
            assert self.disk.settle(SETTLE_S)

    def crowd_out(self) -> None:
        """Fill the cells with something else, so that nothing of what was there stays in them."""
        running = self.open(text(1_000_000 + 10_000 * next(_numbers), self.n_cells))
        assert running.lease.n_ready == 0
        self.compute(running)
        self.kv.abandon(running.id)
        self.kv.check()

    def end(self) -> None:
        self.kv.close_all(timeout_s=SETTLE_S)


def reasons(lease: Lease) -> dict[Reason, int]:
    return dict(lease.report.reasons)
