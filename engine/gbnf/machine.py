"""What may come next in a text of a grammar: sets of stacks, made as they are met and kept.

A *frame* says where in a rule one is and where one goes from there; frames are kept once each and are known by their
numbers, so that a stack is a number. A *state* is the set of all stacks that a text so far can have led to. States are
remembered with what follows from them, so a text that says what was said before costs a look into a dictionary.

An ambiguous grammar can have more stacks than any machine can hold. Everything that makes some costs units of a
:class:`Budget`; where it is spent, the request ends with a sentence.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from engine.errors import InvalidRequest
from engine.gbnf.rules import Alternatives, Call, Chars, Grammar, Item, OneToken, Repeat

MAX_FRAMES = 50_000
"""Above that a machine is not used for another request: its memory has no other bound."""
_END = 0
_FIRST_UNITS = 300_000
_STEP_UNITS = 30_000


class Budget:
    """What one request may spend: a unit is a stack to look at, some microseconds at the most."""

    def __init__(self) -> None:
        self._n_left = _FIRST_UNITS

    def refill(self) -> None:
        """For each token something comes back, so that only what stays costly runs dry."""
        self._n_left = min(_FIRST_UNITS, self._n_left + _STEP_UNITS)

    def spend(self, n_units: int) -> None:
        """Raises InvalidRequest."""
        self._n_left -= n_units
        if self._n_left < 0:
            raise InvalidRequest(
                "The grammar or schema is too ambiguous: too many ways to read the answer have to be followed.",
                "Say it with fewer optional and repeated parts.",
            )


class State:
    """All stacks after some text. Equal ones are the same object."""

    __slots__ = ("accepts", "after", "after_frames", "allowed", "chars", "tokens")

    def __init__(
        self, accepts: bool, chars: tuple[tuple[Chars, int], ...], tokens: tuple[tuple[OneToken, int], ...]
    ) -> None:
        self.accepts = accepts
        """Whether the text may end here."""
        self.chars = chars
        """What may come next, each with the frame behind it."""
        self.tokens = tokens
        self.after: dict[str, State | None] = {}
        self.after_frames: dict[tuple[int, ...], State] = {}
        self.allowed: array[int] | None = None
        """The tokens that may come next, once somebody has looked."""

    def may_begin(self, low: int, high: int) -> bool:
        """Whether one of the characters from ``low`` to ``high`` may come next."""
        return any(chars.has_any(low, high) for chars, _ in self.chars)


class Machine:
    """Runs one grammar, for any number of requests. Thread: one."""

    def __init__(self, grammar: Grammar) -> None:
        self._items: list[Item] = []
        self._is_last: list[bool] = []
        self._begins = [self._lay_out(alternatives) for alternatives in grammar.rules]
        self._root = grammar.root
        self._frames: list[tuple[int, int, int]] = [(0, 0, 0)]  # the end of the text, which has no item
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._states: dict[tuple[bool, frozenset[int]], State] = {}
        self._start: State | None = None
        self.n_kept = 0
        """Lists of allowed tokens that states hold."""

    @property
    def n_frames(self) -> int:
        return len(self._frames)

    def start(self, budget: Budget) -> State:
        """Before the first character. Raises InvalidRequest, as everything here does."""
        if self._start is None:
            self._start = self._state(self._entered(self._root, _END), budget)
        return self._start

    def after(self, state: State, letter: str, budget: Budget) -> State | None:
        """Behind one more character; None where it may not come."""
        if letter in state.after:
            return state.after[letter]
        budget.spend(1 + len(state.chars) // 4)
        code = ord(letter)
        frames = tuple(behind for chars, behind in state.chars if chars.has(code))
        following = state.after[letter] = self._behind(state, frames, budget)
        return following

    def after_token(self, state: State, token: int, budget: Budget) -> State | None:
        """Behind a token that the grammar names by its number; None where it names none such."""
        frames = tuple(behind for item, behind in state.tokens if (item.token == token) != item.is_inverse)
        return self._behind(state, frames, budget)

    def _behind(self, state: State, frames: tuple[int, ...], budget: Budget) -> State | None:
        if not frames:
            return None
        following = state.after_frames.get(frames)
        if following is None:
            following = state.after_frames[frames] = self._state(frames, budget)
        return following

    def _state(self, frames: Iterable[int], budget: Budget) -> State:
        """Follow what reads no character, up to what reads one."""
        waiting, seen = list(frames), set[int]()
        leaves, accepts = set[int](), False
        while waiting:
            frame = waiting.pop()
            if frame in seen:
                continue
            seen.add(frame)
            if frame == _END:
                accepts = True
                continue
            place, count, below = self._frames[frame]
            item = self._items[place]
            if isinstance(item, Chars | OneToken):
                leaves.add(frame)
                continue
            n_waiting = len(waiting)
            if isinstance(item, Call):
                waiting += self._entered(item.rule, self._next(place, below))
            else:
                waiting += self._repeated(item, place, count, below)
            budget.spend(1 + len(waiting) - n_waiting)
        return self._known(accepts, frozenset(leaves))

    def _known(self, accepts: bool, leaves: frozenset[int]) -> State:
        state = self._states.get((accepts, leaves))
        if state is None:
            chars: list[tuple[Chars, int]] = []
            tokens: list[tuple[OneToken, int]] = []
            for frame in sorted(leaves):
                place, _, below = self._frames[frame]
                item, behind = self._items[place], self._next(place, below)
                if isinstance(item, Chars):
                    chars.append((item, behind))
                elif isinstance(item, OneToken):
                    tokens.append((item, behind))
            state = self._states[accepts, leaves] = State(accepts, tuple(chars), tuple(tokens))
        return state

    def _repeated(self, item: Repeat, place: int, count: int, below: int) -> list[int]:
        frames = [] if count < item.low else [self._next(place, below)]
        if item.high is None:
            again = self._frame(place, min(count + 1, item.low), below)
        elif count + 1 < item.high:
            again = self._frame(place, count + 1, below)
        else:
            again = self._next(place, below)
        return frames + self._entered(item.rule, again)

    def _entered(self, rule: int, below: int) -> list[int]:
        return [below if begin is None else self._frame(begin, 0, below) for begin in self._begins[rule]]

    def _next(self, place: int, below: int) -> int:
        """Nothing is kept of a rule that has ended, so what repeats by calling itself last does not grow."""
        return below if self._is_last[place] else self._frame(place + 1, 0, below)

    def _frame(self, place: int, count: int, below: int) -> int:
        key = (place, count, below)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._frames)
            self._frames.append(key)
        return number

    def _lay_out(self, alternatives: Alternatives) -> list[int | None]:
        """Put a rule's items behind each other; where each alternative begins, None for an empty one."""
        begins: list[int | None] = []
        for sequence in alternatives:
            begins.append(len(self._items) if sequence else None)
            self._items += sequence
            self._is_last += [False] * (len(sequence) - 1) + [True] * bool(sequence)
        return begins
