"""One tier of saved pages: what is on it, what that takes, and what would have to go for something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from engine.kv.errors import KvError
from engine.kv.policy import Rank
from engine.kv.tree import Node


class Shelf:
    """Sizes of the nodes that have a copy here. A node without a child here is an end, and only ends may go."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._sizes: dict[Node, int] = {}
        self._n_children: Counter[Node] = Counter()
        self._ends: dict[Node, None] = {}  # a set that keeps its order

    def __contains__(self, node: Node) -> bool:
        return node in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def nodes(self) -> list[Node]:
        return list(self._sizes)

    def size_bytes(self, node: Node) -> int:
        return self._sizes.get(node, 0)

    def add(self, node: Node, size_bytes: int) -> None:
        """Put a node here, or note its new size."""
        self.used_bytes += size_bytes - self._sizes.get(node, 0)
        if node not in self._sizes:
            self._n_children[node.above] += 1
            self._ends.pop(node.above, None)
            if not self._n_children[node]:
                self._ends[node] = None
        self._sizes[node] = size_bytes

    def remove(self, node: Node) -> None:
        """Does nothing where the node is not here."""
        if node not in self._sizes:
            return
        self.used_bytes -= self._sizes.pop(node)
        self._ends.pop(node, None)
        self._n_children[node.above] -= 1
        if not self._n_children[node.above]:
            del self._n_children[node.above]
            if node.above in self._sizes:
                self._ends[node.above] = None

    def victims(
        self,
        n_bytes: int,
        rank: Callable[[Node], Rank],
        below: Rank | None = None,
        may_go: Callable[[Node], bool] = lambda _: True,
    ) -> list[Node] | None:
        """The ends of least rank that together take ``n_bytes``; what they leave as ends counts too.

        None where so much cannot be had from nodes that may go and rank ``below``. Changes nothing.
        """
        if n_bytes <= 0:
            return []
        heap = [(rank(node), index, node) for index, node in enumerate(self._ends) if may_go(node)]
        heapify(heap)
        victims: list[Node] = []
        gone: Counter[Node] = Counter()
        while n_bytes > 0:
            if not heap or (below is not None and heap[0][0] >= below):
                return None
            victim = heappop(heap)[2]
            victims.append(victim)
            n_bytes -= self._sizes[victim]
            above = victim.above
            gone[above] += 1
            if above in self._sizes and gone[above] == self._n_children[above] and may_go(above):
                heappush(heap, (rank(above), len(self._ends) + len(victims), above))
        return victims

    def check(self) -> None:
        """Raises KvError where the sums or the ends are wrong."""
        if sum(self._sizes.values()) != self.used_bytes:
            raise KvError(f"{sum(self._sizes.values())} bytes are on a shelf, {self.used_bytes} are booked")
        parents = Counter(node.above for node in self._sizes)
        if parents != self._n_children or set(self._ends) != {node for node in self._sizes if node not in parents}:
            raise KvError("the ends of a shelf are not what they should be")
