"""The paths that are in cells, each in a sequence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.cells import Blob, Cells, KvLayout
from engine.kv.errors import KvError
from engine.kv.keys import TOKEN_BYTES, common_prefix, n_tokens_of
from engine.kv.pool import CellPool
from engine.kv.tree import Match, Node, PageTree
from engine.reuse import Reason
from engine.types import RequestId, SeqId


@dataclass(slots=True, eq=False)
class Path:
    """What a sequence holds: whole pages, then a tail of fewer tokens than a page.

    It is running while a request owns it, and idle otherwise. ``n_prompt`` is the length of the owner's prompt.
    ``is_dropped``: its conversation was dropped meanwhile, so what it computes is not to be kept.
    """

    seq_id: SeqId
    nodes: list[Node] = field(default_factory=list)
    tail: bytearray = field(default_factory=bytearray)
    owner: RequestId | None = None
    conversation: str | None = None
    n_prompt: int = 0
    last_used: int = 0
    is_dropped: bool = False

    @property
    def tail_begin(self) -> int:
        return self.nodes[-1].end if self.nodes else 0

    @property
    def n_tokens(self) -> int:
        return self.tail_begin + n_tokens_of(self.tail)

    @property
    def tokens(self) -> bytes:
        return b"".join([*(node.tokens for node in self.nodes), self.tail])


class ResidentPaths:
    """Owns the sequences and their cells. A sequence is free, or has exactly one path."""

    def __init__(self, layout: KvLayout, cells: Cells, tree: PageTree) -> None:
        self._tree = tree
        self._pool = CellPool(layout.n_cells, cells)
        self._free = [SeqId(number) for number in reversed(range(layout.n_sequences))]
        self._n_sequences = layout.n_sequences
        self._by_seq: dict[SeqId, Path] = {}
        self._by_request: dict[RequestId, Path] = {}

    @property
    def n_cells(self) -> int:
        return self._pool.n_cells

    @property
    def n_free_cells(self) -> int:
        return self._pool.n_free

    @property
    def n_free_sequences(self) -> int:
        return len(self._free)

    def all(self) -> list[Path]:
        return list(self._by_seq.values())

    def idle(self) -> list[Path]:
        return [path for path in self._by_seq.values() if path.owner is None]

    def running(self) -> Iterable[Path]:
        return self._by_request.values()

    def is_running(self, request_id: RequestId) -> bool:
        return request_id in self._by_request

    def running_in(self, seq_id: SeqId) -> Path:
        """Raises KvError where no request owns the sequence."""
        path = self._by_seq.get(seq_id)
        if path is None or path.owner is None:
            raise KvError(f"no request owns sequence {seq_id}")
        return path

    def holder(self, node: Node) -> Path:
        """Some path that has this page in cells."""
        return self._by_seq[next(iter(node.paths))]

    def n_held(self, source: Path | None = None, n_tokens: int = 0) -> int:
        """Cells that running paths hold, and the first ``n_tokens`` of ``source`` if they were held too."""
        cover = {path.seq_id: path.n_tokens for path in self._by_request.values()}
        if source is not None:
            cover[source.seq_id] = max(n_tokens, cover.get(source.seq_id, 0))
        return self._pool.n_held(cover)

    def n_promised(self) -> int:
        """Cells that the prompts of running requests will still need."""
        return sum(max(0, path.n_prompt - path.n_tokens) for path in self._by_request.values())

    def n_alike(self, path: Path, match: Match) -> int:
        """How many tokens the path and the match begin with alike, up to the match's limit."""
        n_same = _n_same(path.nodes, match.chain)
        begin = match.chain[n_same - 1].end if n_same else 0
        following = path.nodes[n_same].tokens if n_same < len(path.nodes) else path.tail
        return begin + common_prefix(following, match.slice(begin, begin + self._tree.page_tokens))

    def n_usable(self, path: Path, match: Match) -> int:
        """How many of these tokens a request could take from this path."""
        n_tokens = self.n_alike(path, match)
        if self._tree.can_cut or (n_tokens == path.n_tokens and path.owner is None):
            return n_tokens
        return 0

    def create(self) -> Path:
        """An empty path in a free sequence, of which there must be one."""
        path = Path(self._free.pop())
        self._by_seq[path.seq_id] = path
        return path

    def lease(self, path: Path, request_id: RequestId, conversation: str | None, n_prompt: int) -> None:
        path.owner, path.conversation, path.n_prompt = request_id, conversation, n_prompt
        path.is_dropped = False
        self._by_request[request_id] = path
        self._mark(path, path.nodes)

    def release(self, request_id: RequestId) -> Path:
        """The request's path becomes idle. Raises KvError where there is no such request."""
        path = self._by_request.pop(request_id, None)
        if path is None:
            raise KvError(f"{request_id} has no sequence")
        path.owner = None
        self._retire_if_empty(path)
        return path

    def append(self, path: Path, tokens: bytes) -> list[Node]:
        """Tokens were computed at the end of the path. Returns the pages that this completed."""
        self._pool.grow(path.seq_id, n_tokens_of(tokens))
        return self._advance(path, tokens)

    def share(self, source: Path, path: Path, end: int) -> None:
        """``path``, which is a beginning of ``source``, goes on with its tokens up to ``end``."""
        self._pool.share(source.seq_id, path.seq_id, end)
        self._advance(path, source.tokens[path.n_tokens * TOKEN_BYTES : end * TOKEN_BYTES])

    def restore(self, path: Path, tokens: bytes, blob: Blob) -> bool:
        """Put saved tokens at the end of the path. False: refused, and nothing changed."""
        if not self._pool.restore(path.seq_id, n_tokens_of(tokens), blob):
            return False
        self._advance(path, tokens)
        return True

    def take_back(self, path: Path, n_keep: int) -> None:
        """Empty cells after its tokens, which nobody has counted. Raises KvError where tokens would go with them."""
        if n_keep < path.n_tokens or not self._pool.trim(path.seq_id, n_keep):
            raise KvError(f"sequence {path.seq_id} has {path.n_tokens} tokens and was cut to {n_keep}")

    def save(self, path: Path, begin: int, end: int) -> Blob | None:
        return self._pool.save(path.seq_id, begin, end)

    def merge(self, path: Path, begin: int) -> None:
        """Let the path share its pages from ``begin`` on with another that has them too, if there is one.

        Only where it ends with a whole page, because nothing can be exchanged in the middle of a sequence.
        """
        twin = next((seq for seq in path.nodes[-1].paths if seq != path.seq_id), None) if path.nodes else None
        if twin is None or path.tail:
            return
        end = path.n_tokens
        if not self._pool.trim(path.seq_id, begin):
            raise KvError(f"sequence {path.seq_id} can be cut, but was not")
        self._pool.share(twin, path.seq_id, end)

    def cut(self, path: Path, n_keep: int, reason: Reason = Reason.EVICTED) -> bool:
        """Keep the first ``n_keep`` tokens, and give an idle path's sequence back with its last token.

        ``reason`` is remembered for pages that lose their last bytes. False: refused, and the path is empty now.
        """
        is_cut = self._pool.trim(path.seq_id, n_keep)
        n_kept = n_keep if is_cut else 0
        n_full = n_kept // self._tree.page_tokens
        leaving = path.nodes[n_full:]
        kept_tail = leaving[0].tokens if leaving else bytes(path.tail)
        del path.nodes[n_full:]
        path.tail = bytearray(kept_tail[: (n_kept - path.tail_begin) * TOKEN_BYTES])
        for node in reversed(leaving):
            node.paths.discard(path.seq_id)
            self._tree.prune(node, reason)
        self._retire_if_empty(path)
        return is_cut

    def check(self) -> None:
        """Raises KvError where paths, sequences, nodes and cells contradict each other."""
        self._pool.check()
        if sorted([*self._free, *self._by_seq]) != list(range(self._n_sequences)):
            raise KvError("a sequence is lost or has two owners")
        owned = {path.owner: path for path in self._by_seq.values() if path.owner is not None}
        if owned != self._by_request:
            raise KvError("a running path has no request")
        for seq_id, resident in self._by_seq.items():
            self._check_path(seq_id, resident)
        for node in self._tree:
            index = node.begin // self._tree.page_tokens
            for seq_id in node.paths:
                path = self._by_seq.get(seq_id)
                if path is None or path.nodes[index : index + 1] != [node]:
                    raise KvError("a page is not in the path that it names")

    def _check_path(self, seq_id: SeqId, path: Path) -> None:
        if self._pool.length(seq_id) != path.n_tokens or len(path.tail) >= self._tree.page_bytes:
            raise KvError(f"sequence {seq_id} has {self._pool.length(seq_id)} cells for {path.n_tokens} tokens")
        if path.seq_id != seq_id or (path.owner is None and not path.n_tokens):
            raise KvError(f"sequence {seq_id} is held by an empty path")
        above = self._tree.root
        for node in path.nodes:
            if node.parent is not above or seq_id not in node.paths or len(node.tokens) != self._tree.page_bytes:
                raise KvError(f"the pages of sequence {seq_id} do not follow each other")
            above = node

    def _advance(self, path: Path, tokens: bytes) -> list[Node]:
        path.tail += tokens
        page_bytes, completed = self._tree.page_bytes, []
        while len(path.tail) >= page_bytes:
            parent = path.nodes[-1] if path.nodes else self._tree.root
            node = self._tree.add(parent, bytes(path.tail[:page_bytes]))
            del path.tail[:page_bytes]
            node.paths.add(path.seq_id)
            node.last_used = max(node.last_used, path.last_used)
            path.nodes.append(node)
            completed.append(node)
        self._mark(path, completed)
        return completed

    def _mark(self, path: Path, nodes: Iterable[Node]) -> None:
        if path.conversation is not None:
            for node in nodes:
                node.conversations.add(path.conversation)

    def _retire_if_empty(self, path: Path) -> None:
        if path.owner is None and not path.n_tokens:
            del self._by_seq[path.seq_id]
            self._free.append(path.seq_id)


def _n_same(nodes: list[Node], chain: list[Node]) -> int:
    """How many nodes two chains from the root have in common: once apart, they stay apart."""
    low, high = 0, min(len(nodes), len(chain))
    while low < high:
        middle = (low + high) // 2
        if nodes[middle] is chain[middle]:
            low = middle + 1
        else:
            high = middle
    return low
