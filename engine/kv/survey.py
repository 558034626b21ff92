"""Where each conversation is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from engine.kv.keys import n_tokens_of
from engine.kv.policy import Policy
from engine.kv.report import ConversationCache
from engine.kv.resident import ResidentPaths
from engine.kv.saved import SavedPages
from engine.kv.tree import Match, PageTree


@dataclass(frozen=True, slots=True)
class Survey:
    """Looks, and changes nothing."""

    tree: PageTree
    paths: ResidentPaths
    saved: SavedPages
    policy: Policy

    def conversations(self, last_paths: Mapping[str, bytes]) -> tuple[ConversationCache, ...]:
        """``last_paths`` are the tokens of the conversations that are asked for."""
        cells_bytes, ram_bytes, disk_bytes = self._bytes()
        caches = []
        for name, tokens in last_paths.items():
            n_tokens = n_tokens_of(tokens)
            n_cells, n_ram, n_disk = self._places(self.tree.match(tokens, n_tokens))
            cache = ConversationCache(
                id=name,
                n_tokens=n_tokens,
                n_cells=n_cells,
                n_ram=n_ram,
                n_disk=n_disk,
                n_cold=n_tokens - n_cells - n_ram - n_disk,
                cells_bytes=cells_bytes[name],
                ram_bytes=ram_bytes[name],
                disk_bytes=disk_bytes[name],
                is_pinned=name in self.policy.pinned,
            )
            caches.append(cache)
        return tuple(caches)

    def _places(self, match: Match) -> tuple[int, int, int]:
        """Tokens of a path that are in cells, in RAM and on disk, each counted in the first that has it."""
        n_cells = max((self.paths.n_alike(path, match) for path in self.paths.all()), default=0)
        counts: Counter[bool] = Counter()
        for node in match.chain:
            if node.end > n_cells:
                counts[node.ram is not None] += node.n_tokens
        for n_tokens, node in match.branches[:1]:
            if self.tree.can_cut or n_tokens == node.n_tokens:
                counts[node.ram is not None] += max(0, match.chain_end + n_tokens - max(n_cells, match.chain_end))
        return n_cells, counts[True], counts[False]

    def _bytes(self) -> tuple[Counter[str], Counter[str], Counter[str]]:
        cells, ram, disk = Counter[str](), Counter[str](), Counter[str]()
        for node in self.tree:
            for name in node.conversations:
                cells[name] += self.policy.size_bytes(node.n_tokens) if node.paths else 0
                ram[name] += self.saved.ram.size_bytes(node)
                disk[name] += self.saved.disk.size_bytes(node)
        for path in self.paths.all():
            if path.conversation is not None and path.tail:
                cells[path.conversation] += self.policy.size_bytes(n_tokens_of(path.tail))
        return cells, ram, disk
