"""The ledger of the KV cache in pages: what is reused, what is kept where, and what goes.

::

    PageTree        what has bytes anywhere: pages of 256 tokens, keyed by all tokens up to their end
    ResidentPaths   which of it is in cells, each path in a sequence; CellPool counts the cells
    SavedPages      which of it has copies in RAM and on disk; DiskTier has the files, and a thread of its own
    Policy          what a copy is worth; the least worthy end goes first
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.cells import Blob, Cells, KvLayout
from engine.kv.costs import Costs
from engine.kv.disk import DiskTier
from engine.kv.errors import KvError
from engine.kv.explain import explain
from engine.kv.keys import n_tokens_of, pack
from engine.kv.policy import Policy
from engine.kv.resident import Path, ResidentPaths
from engine.kv.saved import SavedPages
from engine.kv.survey import Survey
from engine.kv.tree import Match, Node, PageTree
from engine.reuse import ConversationCache, KvUsage, Reason, ReuseReport
from engine.types import RequestId, SeqId, TokenId

_EVENTS_AT_ONCE = 256
"""What one call takes in of the disk's news, so that none takes long."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A request's right to a sequence. The first ``n_ready`` tokens of its prompt are in the cells."""

    seq_id: SeqId
    n_ready: int
    report: ReuseReport


@dataclass(frozen=True, slots=True)
class _Step:
    """Put a saved node back, and keep it up to ``end``."""

    node: Node
    end: int
    blob: Blob | None


@dataclass(slots=True)
class _Reused:
    """Tokens of a prompt by the tier that they came from."""

    n_cells: int = 0
    n_ram: int = 0
    n_disk: int = 0
    restore_s: float = 0.0


class PagedKv:
    """Thread: the engine's. Never blocks on a disk; copies between cells and RAM happen at once.

    A request's life: :meth:`fetch` until it says True, :meth:`open`, then :meth:`reserve` before and :meth:`extend`
    after every step, :meth:`spoil` where a step ended early, and :meth:`close`. In quiet moments :meth:`idle_work`.
    """

    def __init__(
        self,
        layout: KvLayout,
        cells: Cells,
        ram_budget_bytes: int,
        disk: DiskTier | None,
        costs: Costs,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tree = PageTree(layout)
        self._paths = ResidentPaths(layout, cells, self._tree)
        self._policy = Policy(costs, layout.bytes_per_token)
        self._saved = SavedPages(self._tree, self._policy, ram_budget_bytes, disk)
        self._costs = costs
        self._clock = clock
        self._last_paths: dict[str, bytes] = {}  # what each conversation was when it was last seen

    @property
    def can_cut(self) -> bool:
        """Whether the last tokens of a sequence can be taken back."""
        return self._tree.can_cut

    def fetch(self, prompt: Sequence[TokenId]) -> bool:
        """Start bringing pages of the prompt from disk into RAM, where that is sooner than computing them.

        True when nothing is outstanding, so that :meth:`open` finds what there is. Call it again until then.
        """
        self._take_news()
        match = self._tree.match(pack(prompt), len(prompt) - 1)
        n_common = max((self._paths.n_usable(path, match) for path in self._paths.all()), default=0)
        wanted = [step.node for step in self._plan(match, n_common, self._fetch_s)]
        self._policy.touch(wanted)
        return self._saved.fetch(wanted)

    def open(self, request_id: RequestId, conversation: str | None, prompt: Sequence[TokenId]) -> Lease | None:
        """Give a request a sequence with as much of its prompt as can be had: all but its last token at most.

        That one is always computed, because its logits are what the first output token is drawn from. None: running
        requests hold the sequences, or the cells that this prompt or theirs will need.
        """
        if not prompt or self._paths.is_running(request_id):
            raise KvError(f"{request_id} cannot be opened with {len(prompt)} tokens")
        match = self._tree.match(pack(prompt), len(prompt) - 1)
        usable = [(self._paths.n_usable(path, match), path) for path in self._paths.all()]
        n_common, source = max(usable, key=lambda item: item[0], default=(0, None))
        steps = self._plan(match, n_common, self._restore_s)
        n_share = min(n_common, steps[0].node.begin) if steps else n_common
        if not self._has_room(source, n_share, len(prompt)):
            return None
        self._start_tick([*match.chain, *(step.node for step in steps)])
        path = self._seat(usable, source, n_share)
        path.last_used = self._policy.tick
        self._paths.lease(path, request_id, conversation, len(prompt))
        reused = _Reused(n_cells=self._take_over(path, source, n_share))
        self._restore(path, steps, reused)
        return Lease(path.seq_id, path.n_tokens, self._report(path, match, reused))

    def park(self, *, may_save: bool = False) -> None:
        """Take idle paths out of the cells that can come back from RAM; with ``may_save``, save one page for that.

        Every cell in use makes every step a little longer, whoever it belongs to: 256 of them cost a small model
        4 % of its speed. Bringing a page back takes about a millisecond, once. Pinned conversations stay.
        """
        for path in self._paths.idle():
            if path.conversation in self._policy.pinned:
                continue
            if self._is_in_ram(path):
                self._paths.cut(path, 0)
            elif may_save and self._policy.is_worth_saving(path.n_tokens):
                may_save = not self._save_next(path, is_urgent=False)

    def reserve(self, n_tokens: int) -> bool:
        """Make sure that so many cells are free, evicting what is idle. False: running requests hold too many."""
        if n_tokens <= self._paths.n_free_cells:
            return True
        if n_tokens > self._paths.n_cells - self._paths.n_held():
            return False
        while self._paths.n_free_cells < n_tokens:
            self._shrink(self._least_worthy())
        return True

    def extend(self, seq_id: SeqId, start: int, tokens: Sequence[TokenId]) -> None:
        """Tokens were computed at ``start``, which must be where the known ones end."""
        path = self._paths.running_in(seq_id)
        n_before = path.n_tokens
        if start != n_before:
            raise KvError(f"tokens at {start} do not continue {n_before} known ones")
        completed = self._paths.append(path, pack(tokens))
        if completed:
            self._paths.merge(path, completed[0].begin)
        elif not self._tree.can_cut and n_before < path.n_prompt - 1 <= path.n_tokens:
            self._save_tail(path, is_urgent=True)  # from here the same prompt can go on in another way

    def spoil(self, seq_id: SeqId, n_confirmed: int) -> int:
        """A step ended early: drop what it may have left after the first ``n_confirmed`` tokens.

        Returns how many tokens are in the cells now: ``n_confirmed``, or none where the model cannot be cut.
        """
        path = self._paths.running_in(seq_id)
        if n_confirmed > path.n_tokens:
            raise KvError(f"only {path.n_tokens} tokens are known, not {n_confirmed}")
        self._paths.cut(path, n_confirmed)
        return path.n_tokens

    def take_back(self, seq_id: SeqId, n_keep: int) -> None:
        """Empty the cells from ``n_keep`` on, which is where the known tokens end or later: a draft has filled them."""
        self._paths.take_back(self._paths.running_in(seq_id), n_keep)

    def close(self, request_id: RequestId, n_most: int | None = None) -> None:
        """Take the sequence back. What is in it stays for whoever begins alike, until something needs the room.

        What is beyond the first ``n_most`` tokens is dropped: nobody said it.
        """
        path = self._paths.release(request_id)
        if n_most is not None and path.n_tokens > n_most:
            self._paths.cut(path, n_most)
        if path.is_dropped:
            self._shed(path)
            return
        path.last_used = self._policy.tick
        self._policy.touch(path.nodes)
        if path.conversation is not None:
            tokens = path.tokens
            if not self._last_paths.get(path.conversation, b"").startswith(tokens):  # else it was cancelled early
                self._last_paths[path.conversation] = tokens

    def abandon(self, request_id: RequestId) -> None:
        """Take the sequence back and drop what is in it, because that is not to be trusted."""
        path = self._paths.release(request_id)
        if path.n_tokens:
            self._paths.cut(path, 0)

    def idle_work(self) -> bool:
        """Do one small thing that makes later ones faster or safer, at most one copy of a page.

        Pages are saved to RAM, handed to the disk's writer, and deleted from a disk over its budget. True: there may
        be more to do.
        """
        has_more_news = self._take_news()
        return self._write_back() or self._saved.write_behind() or self._saved.tidy() or has_more_news

    def pin(self, conversation: str, is_pinned: bool) -> None:
        """A pinned conversation goes last from every tier. Budgets and running requests still come before it."""
        if is_pinned:
            self._policy.pinned.add(conversation)
        else:
            self._policy.pinned.discard(conversation)

    def drop(self, conversation: str) -> None:
        """Remove a conversation from all tiers, but for what another one uses.

        What a running request of it has computed goes when that is closed.
        """
        self._take_news()
        self._last_paths.pop(conversation, None)
        self._policy.pinned.discard(conversation)
        orphans = self._saved.drop_conversation(conversation)
        for path in self._paths.all():
            if path.conversation == conversation:
                path.conversation, path.is_dropped = None, True
            if path.owner is None and (path.is_dropped or not orphans.isdisjoint(path.nodes)):
                self._shed(path)

    def set_budgets(self, ram_bytes: int, disk_bytes: int) -> None:
        self._saved.set_budgets(ram_bytes, disk_bytes)

    def conversations(self) -> tuple[ConversationCache, ...]:
        survey = Survey(self._tree, self._paths, self._saved, self._policy)
        return survey.conversations(self._last_paths)

    def usage(self) -> KvUsage:
        return KvUsage(
            cells_used=self._paths.n_cells - self._paths.n_free_cells,
            n_cells=self._paths.n_cells,
            ram_bytes=self._saved.ram_bytes,
            ram_budget_bytes=self._saved.ram.budget_bytes,
            disk_bytes=self._saved.disk_bytes,
            disk_budget_bytes=self._saved.disk.budget_bytes,
            n_pages=len(self._tree),
            disk_problem=self._saved.problem,
        )

    def check(self) -> None:
        """Raises KvError where an invariant is broken. Run after every test and when idle."""
        self._tree.check()
        self._paths.check()
        self._saved.check()

    def close_all(self, timeout_s: float = 2.0) -> None:
        """Save what can be saved within this time, and end the disk's thread. The ledger is of no use afterwards."""
        deadline_s = self._clock() + timeout_s
        while self._clock() < deadline_s and self.idle_work():
            pass
        self._saved.close(max(0.0, deadline_s - self._clock()))

    def _take_news(self) -> bool:
        """True: there may be more."""
        has_more = self._saved.drain(_EVENTS_AT_ONCE)
        for conversation, (_, node) in self._saved.tips.items():
            self._last_paths.setdefault(conversation, b"".join(page.tokens for page in node.ancestry()))
        self._saved.tips.clear()
        return has_more

    def _plan(self, match: Match, n_common: int, cost_s: Callable[[Node], float | None]) -> list[_Step]:
        """Which saved nodes to use after the ``n_common`` tokens in cells so that the prompt is ready soonest.

        ``cost_s`` is the time that a node takes, or None for one that cannot be had.
        """
        candidates = [_Step(node, node.end, node.ram) for node in match.chain if node.end > n_common]
        candidates += self._partial(match, n_common, cost_s)
        n_best, best_gain_s, spent_s = 0, 0.0, 0.0
        for number, step in enumerate(candidates, start=1):
            step_s = cost_s(step.node)
            if step_s is None:
                break
            spent_s += step_s
            gain_s = self._costs.prefill.seconds(n_common, step.end) - spent_s
            if gain_s > best_gain_s:
                n_best, best_gain_s = number, gain_s
        return candidates[:n_best]

    def _partial(self, match: Match, n_common: int, cost_s: Callable[[Node], float | None]) -> list[_Step]:
        """The node that has most of what follows the whole pages of the match, if any can be had."""
        for n_tokens, node in match.branches:
            end = match.chain_end + n_tokens
            is_usable = self._tree.can_cut or n_tokens == node.n_tokens
            if is_usable and end > n_common and cost_s(node) is not None:
                return [_Step(node, end, node.ram)]
        return []

    def _restore_s(self, node: Node) -> float | None:
        return None if node.ram is None else self._policy.restore_s(node)

    def _fetch_s(self, node: Node) -> float | None:
        if node.ram is None and not node.on_disk:
            return None
        return self._policy.restore_s(node, with_read=node.ram is None)

    def _has_room(self, source: Path | None, n_share: int, n_prompt: int) -> bool:
        has_sequence = self._paths.n_free_sequences or self._paths.idle()
        n_held = self._paths.n_held(source, n_share) + self._paths.n_promised()
        return bool(has_sequence) and n_held + n_prompt - n_share <= self._paths.n_cells

    def _start_tick(self, nodes: Sequence[Node]) -> None:
        self._policy.tick += 1
        self._policy.touch(nodes)
        self._costs.forget_some()
        self._saved.opened()

    def _seat(self, usable: list[tuple[int, Path]], source: Path | None, n_share: int) -> Path:
        """A path to go on with: an idle one that is a beginning of the prompt, a new one, or the least worthy."""
        beginnings = [
            path
            for n_usable, path in usable
            if path.owner is None and n_usable == path.n_tokens and (self._tree.can_cut or n_usable <= n_share)
        ]
        if beginnings:
            return max(beginnings, key=lambda path: path.n_tokens)
        if self._paths.n_free_sequences:
            return self._paths.create()
        victim = self._least_worthy()
        self._save_all(victim)
        if victim is source:
            return victim
        self._paths.cut(victim, 0)
        return self._paths.create()

    def _take_over(self, path: Path, source: Path | None, n_share: int) -> int:
        """Have exactly the first ``n_share`` tokens in the path. Returns how many there are."""
        if path.n_tokens > n_share:
            self._paths.cut(path, n_share)
        elif source is not None and path.n_tokens < n_share:
            self._paths.share(source, path, n_share)
        return path.n_tokens

    def _restore(self, path: Path, steps: Sequence[_Step], reused: _Reused) -> None:
        for step in steps:
            node, begin = step.node, path.n_tokens
            if step.blob is None or node.begin != begin or not self.reserve(node.n_tokens):
                return
            is_fetched, started_s = node.is_fetched, self._clock()
            if not self._paths.restore(path, node.tokens, step.blob):
                self._saved.forget(node, Reason.DAMAGED)
                return
            seconds = self._clock() - started_s
            self._costs.restore.observe(len(step.blob), seconds)
            reused.restore_s += seconds
            node.is_fetched = False
            if step.end < path.n_tokens and not self._paths.cut(path, step.end):
                reused.n_cells = reused.n_ram = reused.n_disk = 0
                return
            if is_fetched:
                reused.n_disk += path.n_tokens - begin
            else:
                reused.n_ram += path.n_tokens - begin

    def _report(self, path: Path, match: Match, reused: _Reused) -> ReuseReport:
        n_prompt, conversation = n_tokens_of(match.tokens), path.conversation or ""
        after = self._tree.match(match.tokens, match.limit)  # a page that was refused is not there any more
        n_alike = max([after.n_tokens, *(self._paths.n_alike(other, after) for other in self._paths.all())])
        last_path, n_foreign = self._last_paths.get(conversation, b""), self._saved.foreign_tokens(conversation)
        return ReuseReport(
            n_prompt=n_prompt,
            n_cells=reused.n_cells,
            n_ram=reused.n_ram,
            n_disk=reused.n_disk,
            n_new=n_prompt - path.n_tokens,
            restore_s=reused.restore_s,
            reasons=explain(self._tree, after, path.n_tokens, n_alike, last_path, n_foreign),
        )

    def _least_worthy(self) -> Path:
        """Of the idle paths, of which there must be one."""
        return min(self._paths.idle(), key=self._policy.path_rank)

    def _shrink(self, path: Path) -> None:
        """Take the end of an idle path out of the cells, saved if it is worth it."""
        self._save_all(path)
        self._paths.cut(path, path.tail_begin if path.tail else path.nodes[-1].begin)

    def _shed(self, path: Path) -> None:
        """Keep only the pages of an idle path that some conversation uses."""
        n_used = next((index for index, node in enumerate(path.nodes) if not node.conversations), len(path.nodes))
        is_cut = path.is_dropped or n_used < len(path.nodes)
        path.is_dropped = False
        if is_cut and path.n_tokens:
            self._paths.cut(path, path.nodes[n_used - 1].end if n_used else 0, Reason.DROPPED)

    def _is_in_ram(self, path: Path) -> bool:
        parent = path.nodes[-1] if path.nodes else self._tree.root
        is_tail_saved = not path.tail or self._tree.is_covered(parent, bytes(path.tail), path.conversation)
        return is_tail_saved and all(node.ram is not None for node in path.nodes)

    def _save_all(self, path: Path) -> None:
        if self._policy.is_worth_saving(path.n_tokens):
            while self._save_next(path, is_urgent=True):
                pass

    def _write_back(self) -> bool:
        """Save a page that is only in cells, of the path used last. Nothing but what is on disk gives way to it."""
        for path in sorted(self._paths.all(), key=lambda path: -path.last_used):
            is_wanted = not path.is_dropped and self._policy.is_worth_saving(path.n_tokens)
            if is_wanted and self._save_next(path, is_urgent=False):
                return True
        return False

    def _save_next(self, path: Path, is_urgent: bool) -> bool:
        """Save the first page of a path that is not saved, or the tail of an idle one. False: it was not possible."""
        index = bisect_left(path.nodes, True, key=lambda node: not node.is_saved)
        if index < len(path.nodes):
            return self._save(path, path.nodes[index], is_urgent)
        return path.owner is None and bool(path.tail) and self._save_tail(path, is_urgent)

    def _save_tail(self, path: Path, is_urgent: bool) -> bool:
        parent, tokens = path.nodes[-1] if path.nodes else self._tree.root, bytes(path.tail)
        if self._tree.is_covered(parent, tokens, path.conversation):
            return False
        node = self._tree.add(parent, tokens)
        node.last_used = path.last_used
        if path.conversation is not None:
            node.conversations.add(path.conversation)
        is_due = not node.is_saved  # by another conversation
        is_done = is_due and self._save(path, node, is_urgent)
        self._tree.prune(node, None)
        return is_done

    def _save(self, path: Path, node: Node, is_urgent: bool) -> bool:
        if not self._saved.make_room(node, self._policy.size_bytes(node.n_tokens), is_urgent):
            return False
        started_s = self._clock()
        blob = self._paths.save(path, node.begin, node.end)
        if blob is None:
            return False
        self._costs.save.observe(len(blob), self._clock() - started_s)
        return self._saved.put(node, blob, is_urgent)
