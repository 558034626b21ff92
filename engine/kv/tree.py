"""The prefix tree of everything that has bytes in some tier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.cells import Blob, KvLayout
from engine.kv.errors import KvError
from engine.kv.keys import TOKEN_BYTES, common_prefix, n_tokens_of, page_key, root_key
from engine.reuse import Reason
from engine.types import SeqId

MAX_GHOSTS = 16_384
_NO_PAGE_ENDS_HERE = 2**31


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """A page: its tokens after those of its parent, and where its bytes are.

    ``paths`` are the sequences that hold all of it in cells. ``ram`` is its copy in RAM; ``is_fetched`` says that this
    one came from disk and was not used since. ``on_disk`` is True from the moment the disk tier has it, ``is_written``
    once its file is there; ``label`` is the conversation that its file names. ``conversations`` use it, and everything
    above it.

    A node with fewer tokens than a page is a saved end of a path. It has no children and no cells of its own.
    """

    key: bytes
    parent: Node | None
    begin: int
    tokens: bytes
    children: dict[bytes, Node] = field(default_factory=dict)
    paths: set[SeqId] = field(default_factory=set)
    conversations: set[str] = field(default_factory=set)
    ram: Blob | None = None
    is_fetched: bool = False
    on_disk: bool = False
    is_written: bool = False
    label: str = ""
    last_used: int = 0

    @property
    def above(self) -> Node:
        """The parent, of a node that has one: all but the root."""
        assert self.parent is not None
        return self.parent

    @property
    def n_tokens(self) -> int:
        return n_tokens_of(self.tokens)

    @property
    def end(self) -> int:
        return self.begin + n_tokens_of(self.tokens)

    @property
    def is_root(self) -> bool:
        return self.parent is None

    @property
    def is_saved(self) -> bool:
        return self.ram is not None or self.on_disk

    @property
    def is_live(self) -> bool:
        return bool(self.paths) or self.is_saved

    def subtree(self) -> list[Node]:
        """This node and all below it, parents first."""
        found = [self]
        for node in found:
            found.extend(node.children.values())
        return found

    def ancestry(self) -> list[Node]:
        """From the first page down to this one."""
        chain = []
        node = self
        while node.parent is not None:
            chain.append(node)
            node = node.parent
        return chain[::-1]


@dataclass(frozen=True, slots=True)
class Match:
    """What the tree has of ``tokens``, of which at most ``limit`` may be reused.

    ``chain`` are whole pages from the first token on. ``branches`` go on from there and begin like the tokens do, for
    so many tokens, the longest first.
    """

    tokens: bytes
    limit: int
    chain: list[Node]
    branches: list[tuple[int, Node]]

    @property
    def chain_end(self) -> int:
        return self.chain[-1].end if self.chain else 0

    @property
    def n_tokens(self) -> int:
        return self.chain_end + (self.branches[0][0] if self.branches else 0)

    def slice(self, begin: int, end: int) -> bytes:
        """Tokens between two positions, none beyond the limit."""
        return self.tokens[begin * TOKEN_BYTES : min(end, self.limit) * TOKEN_BYTES]


class PageTree:
    """Nodes by key. What lost its last bytes is no node any more, but its key is remembered with the reason.

    Where the cells cannot be cut there are no pages: every node is a whole state below the root.
    """

    def __init__(self, layout: KvLayout) -> None:
        self.can_cut = layout.can_cut
        self.page_tokens = layout.page_tokens if layout.can_cut else _NO_PAGE_ENDS_HERE
        self.page_bytes = self.page_tokens * TOKEN_BYTES
        self.root = Node(root_key(layout.fingerprint), None, 0, b"")
        self._nodes: dict[bytes, Node] = {}
        self._ghosts: OrderedDict[bytes, Reason] = OrderedDict()

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def get(self, key: bytes) -> Node | None:
        return self._nodes.get(key)

    def ghost(self, key: bytes) -> Reason | None:
        """Why a page that once had bytes has none any more. None: no such page is remembered."""
        return self._ghosts.get(key)

    def add(self, parent: Node, tokens: bytes) -> Node:
        """The node of these tokens, made where there is none. The caller gives it bytes, or prunes it."""
        if (node := parent.children.get(tokens)) is not None:
            return node
        key = page_key(parent.key, tokens)
        node = Node(key, parent, parent.end, tokens)
        parent.children[tokens] = node
        self._nodes[key] = node
        self._ghosts.pop(key, None)
        return node

    def prune(self, node: Node, reason: Reason | None) -> None:
        """Forget a node that has no bytes left. With a reason, its key is remembered."""
        if node.is_live or node.key not in self._nodes:
            return
        if node.children:
            raise KvError("a page lost its last bytes while others continue it")
        del node.above.children[node.tokens]
        del self._nodes[node.key]
        if reason is not None:
            self._remember(node.key, reason)

    def match(self, tokens: bytes, limit: int) -> Match:
        chain = self.chain(tokens, limit)
        node = chain[-1] if chain else self.root
        rest = tokens[node.end * TOKEN_BYTES : min(node.end + self.page_tokens, limit) * TOKEN_BYTES]
        branches = [(n, child) for child in node.children.values() if (n := common_prefix(child.tokens, rest))]
        branches.sort(key=lambda branch: (-branch[0], branch[1].n_tokens))
        return Match(tokens, limit, chain, branches)

    def chain(self, tokens: bytes, limit: int) -> list[Node]:
        """The whole pages that these tokens begin with, up to the limit."""
        chain: list[Node] = []
        node = self.root
        for end in range(self.page_bytes, limit * TOKEN_BYTES + 1, self.page_bytes):
            child = node.children.get(tokens[end - self.page_bytes : end])
            if child is None:
                break
            chain.append(child)
            node = child
        return chain

    def is_covered(self, parent: Node, tokens: bytes, conversation: str | None) -> bool:
        """Whether a conversation has these tokens after ``parent`` in a saved node."""
        if not self.can_cut:
            child = parent.children.get(tokens)
            return child is not None and child.is_saved
        return any(
            child.is_saved
            and child.tokens.startswith(tokens)
            and (conversation is None or conversation in child.conversations)
            for child in parent.children.values()
        )

    def superseded(self, node: Node) -> list[Node]:
        """Nodes that are nothing but a beginning of this one, and used by none but who uses this one."""
        if not self.can_cut:
            return []
        return [
            other
            for other in node.above.children.values()
            if len(other.tokens) < len(node.tokens)
            and node.tokens.startswith(other.tokens)
            and other.conversations <= node.conversations
        ]

    def check(self) -> None:
        """Raises KvError where a node is dead, misplaced or has a wrong key."""
        for key, node in self._nodes.items():
            parent = node.above
            if key != node.key or key != page_key(parent.key, node.tokens):
                raise KvError("a page has a wrong key")
            if parent.children.get(node.tokens) is not node:
                raise KvError("a page is not below the one that it continues")
            if not parent.is_root and self._nodes.get(parent.key) is not parent:
                raise KvError("a page continues one that is not there")
            if node.begin != parent.end or not 0 < node.n_tokens <= self.page_tokens:
                raise KvError("a page has a wrong position or length")
            if node.n_tokens < self.page_tokens and (node.children or node.paths):
                raise KvError("the end of a path has children or cells")
            if not node.is_live or key in self._ghosts:
                raise KvError("a page has no bytes anywhere")
            if not (parent.is_root or node.conversations <= parent.conversations):
                raise KvError("a conversation uses a page and not what it continues")
        if len(self._nodes) != sum(1 for _ in self.root.subtree()) - 1:
            raise KvError("the tree and its index differ")

    def _remember(self, key: bytes, reason: Reason) -> None:
        self._ghosts[key] = reason
        if len(self._ghosts) > MAX_GHOSTS:
            self._ghosts.popitem(last=False)
