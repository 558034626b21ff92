"""The tokens of a model as texts: which of them may come next in a text of a grammar."""

from __future__ import annotations

import codecs
from array import array
from collections.abc import Callable
from functools import cached_property
from itertools import groupby

from engine.gbnf.machine import Budget, Machine, State

_MOST_KEPT = 64
_FIRST_OF = ((0xC2, 0xDF, 1, 0x80), (0xE0, 0xEF, 2, 0x800), (0xF0, 0xF4, 3, 0x10000))
"""First bytes of UTF-8, from, to, how many bytes follow, and the least character."""


class Vocabulary:
    """``read`` gives a token's bytes, those of control tokens too; ``ends`` tells the tokens that end an answer."""

    def __init__(self, n_tokens: int, read: Callable[[int], bytes], ends: Callable[[int], bool]) -> None:
        self.n_tokens = n_tokens
        self.ends = ends
        self._read = read
        self._pieces: dict[int, bytes] = {}

    def piece(self, token: int) -> bytes:
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._read(token)
        return known

    @cached_property
    def in_order(self) -> list[tuple[str, bytes, int]]:
        """Letters, the beginning of a further one, and number of all tokens that begin with a letter, in order."""
        found = []
        for token in range(self.n_tokens):
            text = None if self.ends(token) else letters_of(self.piece(token))
            if text is not None:
                found.append((*text, token))
        return sorted(found)

    @cached_property
    def by_letter(self) -> dict[str, list[tuple[str, bytes, int]]]:
        return {letter: list(group) for letter, group in groupby(self.in_order, key=lambda entry: entry[0][:1])}

    @cached_property
    def further(self) -> list[int]:
        """Tokens that begin within a character."""
        return [token for token in range(self.n_tokens) if 0x80 <= self.piece(token)[:1].ljust(1)[0] <= 0xBF]

    @cached_property
    def last(self) -> list[int]:
        return [token for token in range(self.n_tokens) if self.ends(token)]


def letters_of(piece: bytes) -> tuple[str, bytes] | None:
    """Whole characters and the bytes of one that is not complete; None for what is empty or never text."""
    if not piece or piece[0] == 0:
        return None
    try:
        text, n_read = codecs.utf_8_decode(piece, "strict", False)
    except UnicodeDecodeError:
        return None
    return text, piece[n_read:]


def may_complete(state: State, begun: bytes) -> bool:
    """Whether a character that begins with these bytes may come next."""
    for first, last, n_more, least in _FIRST_OF:
        if first <= begun[0] <= last and len(begun) <= n_more:
            n_missing = n_more + 1 - len(begun)
            bits = begun[0] & (0x3F >> n_more)
            for byte in begun[1:]:
                bits = bits << 6 | byte & 0x3F
            low = bits << 6 * n_missing
            return state.may_begin(max(low, least), low | (1 << 6 * n_missing) - 1)
    return False


class Follower:
    """Follows one answer, token by token. Whatever is too much raises InvalidRequest."""

    def __init__(self, machine: Machine, vocabulary: Vocabulary) -> None:
        self._machine = machine
        self._vocabulary = vocabulary
        self._budget = Budget()
        self._state = machine.start(self._budget)
        self._begun = b""
        self._known: dict[int, tuple[State, bytes] | None] = {}

    def copy(self) -> Follower:
        """One that goes its own way from here."""
        twin = Follower(self._machine, self._vocabulary)
        twin._state, twin._begun, twin._known = self._state, self._begun, dict(self._known)
        return twin

    def allows(self, token: int) -> bool:
        if self._vocabulary.ends(token):
            return self._state.accepts and not self._begun
        if token not in self._known:
            self._known[token] = self._after(token)
        return self._known[token] is not None

    def allowed(self) -> list[int]:
        """All tokens that may come next, in the order of their numbers."""
        if self._begun:
            return [token for token in self._vocabulary.further if self.allows(token)]
        state = self._state
        if state.allowed is not None:
            return state.allowed.tolist()
        found = sorted(self._read_through())
        if self._machine.n_kept < _MOST_KEPT:
            self._machine.n_kept += 1
            state.allowed = array("i", found)
        return found

    def _read_through(self) -> list[int]:
        found = list(self._vocabulary.last) if self._state.accepts else []
        if self._state.tokens:
            tokens = (token for token in range(self._vocabulary.n_tokens) if not self._vocabulary.ends(token))
            return found + [token for token in tokens if self._after(token) is not None]
        for letter, entries in self._vocabulary.by_letter.items():
            if not letter or self._machine.after(self._state, letter, self._budget) is not None:
                self._walk(entries, found)
        return found

    def accept(self, token: int) -> None:
        """Go on behind a token that is allowed; behind one that ends the answer nothing follows."""
        if self._vocabulary.ends(token):
            return
        following = self._known[token] if token in self._known else self._after(token)
        if following is None:
            raise ValueError(f"token {token} is not allowed")
        self._state, self._begun = following
        self._known = {}
        self._budget.refill()

    def _after(self, token: int) -> tuple[State, bytes] | None:
        text = letters_of(self._begun + self._vocabulary.piece(token))
        state: State | None = None
        if text is not None:
            letters, begun = text
            state = self._state
            for letter in letters:
                state = self._machine.after(state, letter, self._budget)
                if state is None:
                    break
            if state is not None and (not begun or may_complete(state, begun)):
                return state, begun
        if self._state.tokens and not self._begun:
            named = self._machine.after_token(self._state, token, self._budget)
            return None if named is None else (named, b"")
        return None

    def _walk(self, entries: list[tuple[str, bytes, int]], found: list[int]) -> None:
        """Tokens stand in the order of their letters, so that what they share is read once."""
        before, states, dead = "", [self._state], ""
        for letters, begun, token in entries:
            if dead and letters.startswith(dead):
                continue
            n_same = 0
            for ours, theirs in zip(letters, before, strict=False):
                if ours != theirs or n_same + 1 >= len(states):
                    break
                n_same += 1
            del states[n_same + 1 :]
            before, dead, state = letters, "", states[-1]
            for at in range(n_same, len(letters)):
                following = self._machine.after(state, letters[at], self._budget)
                if following is None:
                    dead = letters[: at + 1]
                    break
                state = following
                states.append(state)
            if not dead and (not begun or may_complete(state, begun)):
                found.append(token)
