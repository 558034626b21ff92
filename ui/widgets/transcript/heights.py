"""The heights of many things in a column, of which any may change, with positions in logarithmic time."""

from __future__ import annotations

from collections.abc import Iterable


class HeightIndex:
    """A Fenwick tree (P. Fenwick, 1994) over whole pixels."""

    def __init__(self, heights: Iterable[int] = ()) -> None:
        self._heights = list(heights)
        self._tree = [0] * (len(self._heights) + 1)
        for node, height in enumerate(self._heights, 1):
            self._tree[node] += height
            parent = node + (node & -node)
            if parent < len(self._tree):
                self._tree[parent] += self._tree[node]

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, index: int) -> int:
        return self._heights[index]

    @property
    def total(self) -> int:
        return self.top_of(len(self._heights))

    def top_of(self, index: int) -> int:
        """The sum of all heights before ``index``."""
        total = 0
        while index:
            total += self._tree[index]
            index -= index & -index
        return total

    def set(self, index: int, height: int) -> None:
        change = height - self._heights[index]
        self._heights[index] = height
        node = index + 1
        while node < len(self._tree):
            self._tree[node] += change
            node += node & -node

    def append(self, height: int) -> None:
        node = len(self._tree)
        before = self.top_of(node - 1) - self.top_of(node - (node & -node))
        self._heights.append(height)
        self._tree.append(before + height)

    def at(self, y: int) -> int:
        """The index of what stands at ``y``, the first or last one if ``y`` is outside. There must be one."""
        index = 0
        step = 1 << len(self._heights).bit_length()
        while step:
            node = index + step
            if node < len(self._tree) and self._tree[node] <= y:
                index = node
                y -= self._tree[node]
            step >>= 1
        return min(index, len(self._heights) - 1)
