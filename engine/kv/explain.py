"""Why tokens were not reused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from engine.kv.keys import TOKEN_BYTES, common_prefix, n_tokens_of, page_key
from engine.kv.tree import Match, PageTree
from engine.reuse import Reason


class _Tally:
    """Walks along a prompt and notes a reason for each stretch."""

    def __init__(self, begin: int) -> None:
        self._at = begin
        self.counts: Counter[Reason] = Counter()

    def up_to(self, end: int, reason: Reason) -> None:
        if end > self._at:
            self.counts[reason] += end - self._at
            self._at = end


def explain(
    tree: PageTree, match: Match, n_ready: int, n_alike: int, last_path: bytes, n_foreign: int
) -> tuple[tuple[Reason, int], ...]:
    """Reasons for the tokens of a prompt after the first ``n_ready``.

    ``n_alike`` of its tokens were in some tier, ``last_path`` is what its conversation was when last seen, and
    ``n_foreign`` tokens of that are saved under other settings.
    """
    n_prompt, n_last = n_tokens_of(match.tokens), n_tokens_of(last_path)
    tally = _Tally(n_ready)
    tally.up_to(n_alike, Reason.CHEAPER_TO_COMPUTE if tree.can_cut else Reason.NOT_CUTTABLE)
    for end, reason in _remembered(tree, match):
        tally.up_to(min(end, match.limit), reason)
    n_same = common_prefix(last_path, match.tokens)
    tally.up_to(min(n_same, match.limit), Reason.EVICTED)
    if n_same < min(n_last, n_prompt):
        tally.up_to(min(n_last, n_prompt), Reason.EDITED)
    elif not last_path:
        tally.up_to(min(n_foreign, n_prompt), Reason.OTHER_SETTINGS)
    tally.up_to(n_prompt, Reason.NEW)
    return tuple(tally.counts.items())


def _remembered(tree: PageTree, match: Match) -> Iterator[tuple[int, Reason]]:
    """The ends of pages that once had bytes, and why they have none."""
    key = match.chain[-1].key if match.chain else tree.root.key
    for end in range(match.chain_end + tree.page_tokens, n_tokens_of(match.tokens) + 1, tree.page_tokens):
        key = page_key(key, match.tokens[(end - tree.page_tokens) * TOKEN_BYTES : end * TOKEN_BYTES])
        reason = tree.ghost(key)
        if reason is None:
            return
        yield end, reason
