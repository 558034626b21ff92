"""What a copy of a page is worth. The copies of least rank go first.

Worth is the time that the copy saves when its page is wanted again, per byte, and halved with every some opens in which
it was not. Pinned conversations outrank everything else. What is evicted is always an end, because a page is of no use
without those before it; so a page stays at least as long as what continues it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from engine.kv.costs import Costs
from engine.kv.keys import n_tokens_of
from engine.kv.resident import Path
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
        return max(1, n_tokens * self._bytes_per_token)

    def is_worth_saving(self, n_tokens: int) -> bool:
        """Whether so many tokens from the first one on are restored sooner than computed."""
        return self.costs.restore.seconds(self.size_bytes(n_tokens)) < self.costs.prefill.seconds(0, n_tokens)

    def restore_s(self, node: Node, with_read: bool = False) -> float:
        """Time to have the node in cells from its copy in RAM, or from disk ``with_read``."""
        return self._fetch_s(node.n_tokens, with_read)

    def path_rank(self, path: Path) -> Rank:
        """Of the end of an idle path, which is what leaves the cells first. Worth nothing where another holds it."""
        if path.tail:
            n_tokens = n_tokens_of(path.tail)
            is_pinned, wait_s = path.conversation in self.pinned, self._fetch_s(n_tokens, with_read=False)
            return self._rank(is_pinned, wait_s, path.last_used, n_tokens)
        node = path.nodes[-1]
        if len(node.paths) > 1:
            return False, 0.0
        wait_s = self.restore_s(node, with_read=node.on_disk and node.ram is None)
        save_s = 0.0 if node.is_saved else self._save_s(node)
        return self._node_rank(node, min(wait_s + save_s, self._compute_s(node)))

    def ram_rank(self, node: Node) -> Rank:
        """Of a copy in RAM. While its page is in cells, it can be made once more."""
        if node.paths:
            return self._node_rank(node, min(self._save_s(node), self._compute_s(node)))
        if not node.is_written:
            return self.demand_rank(node)
        read_s = self.restore_s(node, with_read=True) - self.restore_s(node)
        return self._node_rank(node, min(read_s, self._spares_s(node)))

    def demand_rank(self, node: Node) -> Rank:
        """Of a copy that would be the only one: of a page that leaves the cells, or that is wanted from disk now."""
        return self._node_rank(node, self._spares_s(node))

    def disk_rank(self, node: Node) -> Rank:
        return self._node_rank(node, max(0.0, self._compute_s(node) - self.restore_s(node, with_read=True)))

    def touch(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            node.last_used = self.tick

    def _node_rank(self, node: Node, saves_s: float) -> Rank:
        is_pinned = not self.pinned.isdisjoint(node.conversations)
        return self._rank(is_pinned, saves_s, node.last_used, node.n_tokens)

    def _rank(self, is_pinned: bool, saves_s: float, last_used: int, n_tokens: int) -> Rank:
        recency = 2.0 ** ((last_used - self.tick) / HALF_LIFE_OPENS)
        return is_pinned, saves_s * recency / self.size_bytes(n_tokens)

    def _spares_s(self, node: Node) -> float:
        return max(0.0, self._compute_s(node) - self.restore_s(node))

    def _compute_s(self, node: Node) -> float:
        return self.costs.prefill.seconds(node.begin, node.end)

    def _save_s(self, node: Node) -> float:
        return self.costs.save.seconds(self.size_bytes(node.n_tokens))

    def _fetch_s(self, n_tokens: int, with_read: bool) -> float:
        size_bytes = self.size_bytes(n_tokens)
        read_s = self.costs.disk_read.seconds(size_bytes) if with_read else 0.0
        return read_s + self.costs.restore.seconds(size_bytes)
