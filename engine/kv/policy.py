"""What a copy of a page is worth. The copies of least rank go first.

Worth is the time that the copy saves when its page is wanted again, per byte, and halved with every some opens in which
it was not. Pinned conversations outrank everything else. What is evicted is always an end, because a page is of no use
without those before it; so a page stays at least as long as what continues it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from engine.kv.costs import Costs
from engine.kv.tree import Node

HALF_LIFE_OPENS = 32

Rank: TypeAlias = tuple[bool, float]


class Policy:
    """Ranks copies. ``tick`` counts the opens and is all the time that the ledger knows."""

    def __init__(self, costs: Costs, bytes_per_token: int) -> None:
        self.costs = costs
        self.tick = 0
        self.pinned: set[str] = set()
        self._bytes_per_token = bytes_per_token

    def size_bytes(self, n_tokens: int) -> int:
        """What a copy of so many tokens takes, as far as one can know beforehand."""
        return n_tokens * self._bytes_per_token

    def is_worth_saving(self, n_tokens: int) -> bool:
        """Whether so many tokens from the first one on are restored sooner than computed."""
        return self.costs.restore.seconds(self.size_bytes(n_tokens)) < self.costs.prefill.seconds(0, n_tokens)

    def restore_s(self, node: Node, with_read: bool = False) -> float:
        """Time to have the node in cells from its copy in RAM, or from disk ``with_read``."""
        size_bytes = self.size_bytes(node.n_tokens)
        read_s = self.costs.disk_read.seconds(size_bytes) if with_read else 0.0
        return read_s + self.costs.restore.seconds(size_bytes)

    def cells_rank(self, node: Node) -> Rank:
        """Of a page in cells. It is worth nothing where another sequence holds it as well."""
        if len(node.paths) > 1:
            return self._rank(node, 0.0)
        wait_s = self.restore_s(node, with_read=node.on_disk and node.ram is None)
        return self._rank(node, min(wait_s, self._compute_s(node)) + (0.0 if node.is_saved else self._save_s(node)))

    def ram_rank(self, node: Node) -> Rank:
        compute_s, restore_s = self._compute_s(node), self.restore_s(node)
        if node.paths:  # it can be saved once more
            return self._rank(node, min(self._save_s(node), compute_s))
        otherwise_s = min(compute_s, self.restore_s(node, with_read=True)) if node.on_disk else compute_s
        return self._rank(node, max(0.0, otherwise_s - restore_s))

    def disk_rank(self, node: Node) -> Rank:
        return self._rank(node, max(0.0, self._compute_s(node) - self.restore_s(node, with_read=True)))

    def touch(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            node.last_used = self.tick

    def _rank(self, node: Node, saves_s: float) -> Rank:
        is_pinned = not self.pinned.isdisjoint(node.conversations)
        recency = 2.0 ** ((node.last_used - self.tick) / HALF_LIFE_OPENS)
        return is_pinned, saves_s * recency / self.size_bytes(node.n_tokens)

    def _compute_s(self, node: Node) -> float:
        return self.costs.prefill.seconds(node.begin, node.end)

    def _save_s(self, node: Node) -> float:
        return self.costs.save.seconds(self.size_bytes(node.n_tokens))
