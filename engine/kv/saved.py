"""The saved copies of pages, in RAM and on disk.

What is saved is closed towards the root: a page is saved only while the page before it is saved too, in one tier or the
other, and it is on disk only while the one before it is. So whatever is found can be used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from engine.cells import Blob
from engine.errors import ErrorInfo
from engine.kv.container import PageContent, file_bytes
from engine.kv.disk import DiskEvent, DiskTier, PageLost, PageNotWritten, PageRead, PageWritten
from engine.kv.errors import KvError
from engine.kv.folder import FoundPage, Listing
from engine.kv.policy import Policy
from engine.kv.shelf import Shelf
from engine.kv.tree import Node, PageTree
from engine.reuse import Reason

_LOOK_AGAIN_OPENS = 64
_TRY_AGAIN_OPENS = 4
"""How soon the folder is looked at again when nothing could be written."""


class SavedPages:
    """Thread: the engine's. ``tier`` is None where nothing is to be kept on disk."""

    def __init__(self, tree: PageTree, policy: Policy, ram_budget_bytes: int, tier: DiskTier | None) -> None:
        self.ram = Shelf(ram_budget_bytes)
        self.disk = Shelf(tier.budget_bytes if tier else 0)
        self.tips: dict[str, tuple[int, Node]] = {}
        """Conversations that were found on disk: the age and the last page of the path that was used last."""
        self._tree = tree
        self._policy = policy
        self._tier = tier
        self._dirty: dict[Node, None] = {}  # in RAM and due to be written, in order
        self._reading: dict[bytes, int] = {}  # keys of pages that are on their way, and the room kept for them
        self._asked: set[bytes] = set()  # pages that were read since the last open
        self._found: deque[FoundPage] = deque()
        self._dropped: set[str] = set()  # conversations of which nothing that is found on disk may come back
        self._looked_at_tick = 0

    @property
    def ram_bytes(self) -> int:
        return self.ram.used_bytes + sum(self._reading.values())

    @property
    def disk_bytes(self) -> int:
        return self.disk.used_bytes + (self._tier.foreign_bytes if self._tier else 0)

    @property
    def problem(self) -> ErrorInfo | None:
        return ErrorInfo.of(self._tier.problem) if self._tier and self._tier.problem else None

    def foreign_tokens(self, conversation: str) -> int:
        """How many tokens of a conversation are saved under other fingerprints."""
        return self._tier.foreign_conversations.get(conversation, 0) if self._tier else 0

    def make_room(self, node: Node, size_bytes: int, is_urgent: bool) -> bool:
        """Have room in RAM for the only copy of a page, for which others of less worth may go.

        Where it is not urgent, only those that are on disk.
        """
        return self._make_room(node, size_bytes, lambda other: is_urgent or other.is_written)

    def put(self, node: Node, blob: Blob, is_urgent: bool) -> bool:
        """Keep a copy in RAM, and have it written to disk by and by. False: there is no room."""
        if node.is_saved or not (node.above.is_root or node.above.is_saved):
            raise KvError("a page is saved once, and after the one that it continues")
        if not self.make_room(node, len(blob), is_urgent):
            return False
        self._to_ram(node, blob)
        if self._tier is not None:
            self._dirty[node] = None
        for other in self._tree.superseded(node):
            if other.ram is not None:
                self._drop_ram(other, None)
        return True

    def fetch(self, nodes: Sequence[Node]) -> bool:
        """Start reading those that are only on disk, as far as RAM has room. True: none of them is on its way.

        No page is read twice between two opens, so this comes to an end however little room there is.
        """
        for node in nodes:
            if node.ram is None and node.key not in self._asked and not self._read(node):
                break
        return all(node.key not in self._reading for node in nodes)

    def opened(self) -> None:
        """A request was opened: what is wanted now may be other pages."""
        self._asked.clear()

    def forget(self, node: Node, reason: Reason) -> None:
        """Drop every saved copy of a page and of what continues it."""
        for other in reversed(node.subtree()):
            if other.ram is not None:
                self._drop_ram(other, reason)
            if other.on_disk:
                self._drop_disk(other, reason)

    def drop_conversation(self, conversation: str) -> set[Node]:
        """Drop every saved copy that no other conversation uses. Returns those pages; some may still be in cells."""
        used = [node for node in self._tree if conversation in node.conversations]
        for node in used:
            node.conversations.discard(conversation)
            if node.conversations and node.on_disk and node.label == conversation:
                self._relabel(node)
        orphans = [node for node in used if not node.conversations]
        for node in orphans:
            self.forget(node, Reason.DROPPED)
        if self._tier is not None:
            self._dropped.add(conversation)
            self._tier.forget_foreign(conversation)
        return set(orphans)

    def set_budgets(self, ram_bytes: int, disk_bytes: int) -> None:
        """What is in RAM over its budget goes now, what is on disk over its budget with :meth:`tidy`."""
        self.ram.budget_bytes, self.disk.budget_bytes = ram_bytes, disk_bytes
        for victim in self.ram.victims(self.ram.used_bytes - ram_bytes, self._policy.ram_rank) or ():
            self._drop_ram(victim, Reason.EVICTED)
        self._write_again(self.ram.nodes())

    def drain(self, n_most: int) -> bool:
        """Take in what the disk tier has done. True: there may be more."""
        for _ in range(n_most):
            if self._found:
                self._adopt(self._found.popleft())
            elif self._tier is not None and (event := self._tier.poll()) is not None:
                self._handle(event)
            else:
                return False
        return True

    def write_behind(self) -> bool:
        """Hand one page to the disk's writer, or find that there is no room for it. False: none is due."""
        if self._tier is None or self._tier.problem or not self._dirty:
            return False
        node = next(iter(self._dirty))
        while node.above in self._dirty:
            node = node.above
        del self._dirty[node]
        if node.above.is_root or node.above.on_disk:
            self._write(node, self._tier)
        return True

    def tidy(self) -> bool:
        """Delete one page, or foreign files, while the disk is over its budget; look at the folder now and then."""
        if self._tier is None:
            return False
        interval = _TRY_AGAIN_OPENS if self._tier.problem else _LOOK_AGAIN_OPENS
        if self._policy.tick - self._looked_at_tick >= interval:
            self._looked_at_tick = self._policy.tick
            self._tier.look()
            return True
        excess = self.disk_bytes - self.disk.budget_bytes
        if excess > 0 and self._tier.purgeable_bytes:
            self._tier.purge_foreign(excess)
            return True
        n_bytes, rank = min(1, excess), self._policy.disk_rank
        victims = self.disk.victims(n_bytes, rank, may_go=self._may_leave_disk)
        if victims is None:  # then what continues a page in RAM goes with it
            victims = self.disk.victims(n_bytes, rank)
        for victim in victims or ():
            if victim.ram is None:
                self.forget(victim, Reason.EVICTED)
            else:
                self._drop_disk(victim, Reason.EVICTED)
        return bool(victims)

    def close(self, timeout_s: float) -> None:
        if self._tier is not None:
            self._tier.close(timeout_s)

    def check(self) -> None:
        """Raises KvError where copies, shelves and budgets contradict each other."""
        self.ram.check()
        self.disk.check()
        for node in self._tree:
            if (node.ram is not None) != (node in self.ram) or node.on_disk != (node in self.disk):
                raise KvError("a page and its shelf contradict each other")
            if node.is_written > node.on_disk:
                raise KvError("a page is written to a disk that does not have it")
            if node.ram is not None and len(node.ram) != self.ram.size_bytes(node):
                raise KvError("a copy has another size than is booked")
            above = node.above
            if not above.is_root and (node.is_saved > above.is_saved or node.on_disk > above.on_disk):
                raise KvError("a page is saved, and the one before it is not")
            if node in self._dirty and (node.ram is None or node.on_disk):
                raise KvError("a page is due to be written that cannot be")
        if any(self._tree.get(node.key) is not node for node in [*self.ram.nodes(), *self.disk.nodes(), *self._dirty]):
            raise KvError("something is saved that the tree does not know")
        if self.ram.used_bytes > self.ram.budget_bytes:
            raise KvError(f"{self.ram.used_bytes} bytes in RAM exceed the budget of {self.ram.budget_bytes}")

    def _make_room(self, node: Node, size_bytes: int, may_go: Callable[[Node], bool]) -> bool:
        victims = self.ram.victims(
            self.ram_bytes + size_bytes - self.ram.budget_bytes,
            self._policy.ram_rank,
            self._policy.demand_rank(node),
            lambda other: other is not node.above and may_go(other),
        )
        for victim in victims or ():
            self._drop_ram(victim, Reason.EVICTED)
        return victims is not None

    def _to_ram(self, node: Node, blob: Blob) -> None:
        node.ram = blob
        self.ram.add(node, len(blob))

    def _read(self, node: Node) -> bool:
        """Ask for a page, and keep room for it. False: there is none. What is wanted just now does not give way."""
        assert self._tier is not None  # it is on disk
        size_bytes, tick = self.disk.size_bytes(node), self._policy.tick
        if not self._make_room(node, size_bytes, lambda other: other.last_used < tick):
            return False
        self._reading[node.key] = size_bytes
        self._asked.add(node.key)
        self._tier.read(node.key)
        return True

    def _write(self, node: Node, tier: DiskTier) -> None:
        """Hand a page to the writer, unless the disk is full of better ones."""
        assert node.ram is not None  # it is due to be written
        label = min(node.conversations, default="")
        page = PageContent(node.key, node.above.key, node.begin, node.tokens, label)
        excess = self.disk_bytes + file_bytes(page, len(node.ram)) - self.disk.budget_bytes
        if excess > 0 and tier.purgeable_bytes:
            before = tier.foreign_bytes
            tier.purge_foreign(excess)
            excess -= before - tier.foreign_bytes
        victims = self.disk.victims(
            excess,
            self._policy.disk_rank,
            self._policy.disk_rank(node),
            lambda other: other is not node.above and self._may_leave_disk(other),
        )
        if victims is None:
            return
        for victim in victims:
            self._drop_disk(victim, Reason.EVICTED)
        node.on_disk, node.label = True, label
        self.disk.add(node, tier.write(page, node.ram))
        for other in self._tree.superseded(node):
            if other.on_disk:
                self._drop_disk(other, None)

    def _relabel(self, node: Node) -> None:
        assert self._tier is not None  # it is on disk
        node.label = min(node.conversations)
        self._tier.relabel(node.key, node.label)

    def _may_leave_disk(self, node: Node) -> bool:
        """Not while its only copy is there and something in RAM continues it."""
        return node.ram is not None or all(child.ram is None for child in node.children.values())

    def _drop_ram(self, node: Node, reason: Reason | None) -> None:
        node.ram, node.is_fetched = None, False
        self.ram.remove(node)
        self._dirty.pop(node, None)
        if node.on_disk and self._tier is not None and self._tier.withdraw(node.key):
            self._book_off_disk(node)
        self._tree.prune(node, reason)

    def _drop_disk(self, node: Node, reason: Reason | None) -> None:
        assert self._tier is not None  # it is on disk
        self._book_off_disk(node)
        self._tier.delete(node.key)
        self._tree.prune(node, reason)

    def _book_off_disk(self, node: Node) -> None:
        node.on_disk = node.is_written = False
        self.disk.remove(node)

    def _lose(self, key: bytes, reason: Reason) -> None:
        """A page is not on disk any more, so nothing that continues it may be.

        What is still in RAM down to there is written again, and what is in RAM beyond that is of no use.
        """
        node = self._tree.get(key)
        if node is None or not node.on_disk:
            return
        subtree, in_ram = node.subtree(), set[Node]()
        for other in subtree:
            if other.ram is not None and (other is node or other.above in in_ram):
                in_ram.add(other)
        for other in reversed(subtree):
            if other.ram is not None and other not in in_ram:
                self._drop_ram(other, reason)
            if other.on_disk:
                self._drop_disk(other, reason)
        self._write_again(other for other in subtree if other in in_ram)

    def _write_again(self, nodes: Iterable[Node]) -> None:
        if self._tier is not None:
            self._dirty.update((node, None) for node in nodes if not node.on_disk)

    def _handle(self, event: DiskEvent) -> None:
        match event:
            case PageRead():
                self._take_read(event)
            case PageLost(key, is_damaged):
                self._reading.pop(key, None)
                self._lose(key, Reason.DAMAGED if is_damaged else Reason.EVICTED)
            case PageNotWritten(key):
                self._lose(key, Reason.EVICTED)
            case PageWritten(key, size_bytes):
                node = self._tree.get(key)
                if node is not None and node.on_disk:
                    node.is_written = True
                    self.disk.add(node, size_bytes)
            case Listing(found, lost):
                for key in lost:
                    self._lose(key, Reason.EVICTED)
                self._found.extend(found)
                self._write_again(self.ram.nodes())
            case _:
                pass  # what is left of foreign files is known to the tier

    def _take_read(self, event: PageRead) -> None:
        self._reading.pop(event.key, None)
        self._policy.costs.disk_read.observe(len(event.payload), event.seconds)
        node = self._tree.get(event.key)
        has_room = self.ram_bytes + len(event.payload) <= self.ram.budget_bytes
        if node is not None and node.on_disk and node.ram is None and has_room:
            self._to_ram(node, event.payload)
            node.is_fetched = True

    def _adopt(self, found: FoundPage) -> None:
        """Book a page that was found on disk. One that continues nothing is deleted."""
        assert self._tier is not None  # it was found there
        page = found.page
        parent = self._tree.root if page.parent == self._tree.root.key else self._tree.get(page.parent)
        if parent is None or page.conversation in self._dropped or not self._can_follow(parent, page):
            self._tier.delete(page.key)
            return
        node = self._tree.add(parent, page.tokens)
        if not node.is_live:
            node.last_used = self._policy.tick - 1 - found.age_rank
        if not node.on_disk:
            node.on_disk = node.is_written = True
            node.label = page.conversation
            self.disk.add(node, found.size_bytes)
            self._dirty.pop(node, None)
        self._mark(node, found)

    def _can_follow(self, parent: Node, page: PageContent) -> bool:
        is_placed = parent.is_root or (parent.on_disk and parent.n_tokens == self._tree.page_tokens)
        return is_placed and page.begin == parent.end and len(page.tokens) <= self._tree.page_bytes

    def _mark(self, node: Node, found: FoundPage) -> None:
        conversation = found.page.conversation
        if not conversation:
            return
        above: Node | None = node
        while above is not None and not above.is_root and conversation not in above.conversations:
            above.conversations.add(conversation)
            above = above.parent
        known = self.tips.get(conversation)
        if known is None or (found.age_rank, -node.end) < (known[0], -known[1].end):
            self.tips[conversation] = found.age_rank, node
