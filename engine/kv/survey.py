"""Where each conversation is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.kv.keys import TOKEN_BYTES, n_tokens_of
from engine.kv.policy import Policy
from engine.kv.resident import Path, ResidentPaths
from engine.kv.saved import SavedPages
from engine.kv.tree import Match, PageTree
from engine.reuse import ConversationCache


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
        own_paths = defaultdict[str, list[Path]](list)
        for path in self.paths.all():
            own_paths[path.conversation or ""].append(path)
        caches = []
        for name, tokens in last_paths.items():
            n_tokens = n_tokens_of(tokens)
            n_cells, n_ram, n_disk = self._places(tokens, own_paths[name])
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

    def _places(self, tokens: bytes, own_paths: Sequence[Path]) -> tuple[int, int, int]:
        """Tokens of a path that are in cells, in RAM and on disk, each counted in the first that has it."""
        match = self._match(tokens)
        n_cells = max((self.paths.n_alike(path, match) for path in own_paths), default=0)
        n_cells = max([n_cells, *(node.end for node in match.chain if node.paths)])
        stretches = [(node.end, node) for node in match.chain]
        for n_tokens, node in match.branches[:1]:
            if self.tree.can_cut or n_tokens == node.n_tokens:
                stretches.append((match.chain_end + n_tokens, node))
        at, n_ram, n_disk = n_cells, 0, 0
        for end, node in stretches:
            n_more, at = max(0, end - at), max(at, end)
            if node.ram is not None:
                n_ram += n_more
            else:
                n_disk += n_more
        return n_cells, n_ram, n_disk

    def _match(self, tokens: bytes) -> Match:
        """The match of a whole path, whose end mostly is a node of its own: then the others need no look."""
        n_tokens, chain = n_tokens_of(tokens), self.tree.chain(tokens, n_tokens_of(tokens))
        last = chain[-1] if chain else self.tree.root
        tail = last.children.get(tokens[last.end * TOKEN_BYTES :])
        if tail is None:
            return self.tree.match(tokens, n_tokens)
        return Match(tokens, n_tokens, chain, [(tail.n_tokens, tail)])

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
