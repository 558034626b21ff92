"""Reads GBNF, llama.cpp's grammar format (grammars/README.md there), in one pass and without recursion."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from engine.errors import InvalidRequest
from engine.gbnf.rules import Alternatives, Call, Chars, Grammar, Item, OneToken, Repeat, Sequence

MAX_BYTES = 65_536
MAX_REPETITION = 2_000
ROOT = "root"
_LAST_CODE = 0x10FFFF
_NAME = re.compile(r"[A-Za-z0-9-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_DEFINES = re.compile(r"::=")
_END_OF_LINE = re.compile(r"\r\n|\r|\n|\Z")
_COUNT = re.compile(r"\{\s*(\d+)\s*(,\s*(\d*)\s*)?\}")
_TOKEN = re.compile(r"(!?)(?:<\[(\d{1,9})\]>|(<[^>]*>))")
_HEX = {"x": 2, "u": 4, "U": 8}
_ESCAPED = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_ANY = Chars(((0, _LAST_CODE),))


def parse(text: str, token_of: Callable[[str], int | None]) -> Grammar:
    """``token_of`` finds the token whose whole text is, say, ``<think>``. Raises InvalidRequest."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise InvalidRequest(f"The grammar is longer than {MAX_BYTES:,} bytes.")
    if "\0" in text:
        raise InvalidRequest("The grammar holds a NUL character.")
    return _Parser(text, token_of).grammar()


@dataclass(slots=True)
class _Group:
    """Alternatives that are being read: a rule's, or those between brackets."""

    sequences: list[Sequence] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    last_begin: int = 0
    """Where the item begins that a repetition would repeat: a literal is several characters."""

    def next(self) -> None:
        self.sequences.append(tuple(self.items))
        self.items, self.last_begin = [], 0

    def add(self, *items: Item) -> None:
        self.last_begin = len(self.items)
        self.items += items


class _Parser:
    def __init__(self, text: str, token_of: Callable[[str], int | None]) -> None:
        self._text = text
        self._token_of = token_of
        self._at = 0
        self._places: dict[str, int] = {}
        self._rules: list[Alternatives | None] = []
        self._open: list[_Group] = []

    def grammar(self) -> Grammar:
        self._skip(_SPACE_AND_LINES)
        while self._at < len(self._text):
            self._rule()
        root = self._places.get(ROOT)
        if root is None:
            raise InvalidRequest("The grammar has no rule named root.")
        for name, place in self._places.items():
            if self._rules[place] is None:
                raise InvalidRequest(f"The grammar uses the rule {name[:100]}, which it does not define.")
        rules = tuple(rule or () for rule in self._rules)
        if not _is_sound(rules):
            raise InvalidRequest("A rule of the grammar begins with itself, which cannot be followed.")
        return Grammar(rules, root)

    def _rule(self) -> None:
        place = self._place(self._take(_NAME, "the name of a rule").group())
        self._skip(_SPACE)
        self._take(_DEFINES, "::=")
        self._skip(_SPACE_AND_LINES)
        self._open.append(_Group())
        while self._part():
            self._skip(_SPACE_AND_LINES if len(self._open) > 1 else _SPACE)
        if len(self._open) > 1:
            self._fail("a closing bracket")
        self._rules[place] = self._close()
        self._take(_END_OF_LINE, "the end of the line")
        self._skip(_SPACE_AND_LINES)

    def _part(self) -> bool:
        """Read one part of a rule. False: what comes now is none."""
        letter = self._text[self._at : self._at + 1]
        group = self._open[-1]
        if letter == "|":
            group.next()
            self._at += 1
            self._skip(_SPACE_AND_LINES)
        elif letter == "(":
            self._open.append(_Group())
            self._at += 1
        elif letter == ")" and len(self._open) > 1:
            call = Call(self._add(self._close()))
            self._open[-1].add(call)
            self._at += 1
        elif letter and letter in "*+?{":
            self._repeat()
        else:
            return self._leaf(letter, group)
        return True

    def _leaf(self, letter: str, group: _Group) -> bool:
        if letter == '"':
            group.add(*(Chars(((code, code),)) for code in self._literal()))
        elif letter == "[":
            group.add(self._class())
        elif letter == ".":
            group.add(_ANY)
            self._at += 1
        elif letter and letter in "<!":
            group.add(self._one_token())
        elif (name := _NAME.match(self._text, self._at)) is not None:
            group.add(Call(self._place(name.group())))
            self._at = name.end()
        else:
            return False
        return True

    def _close(self) -> Alternatives:
        group = self._open.pop()
        group.next()
        return tuple(dict.fromkeys(group.sequences))

    def _repeat(self) -> None:
        group = self._open[-1]
        repeated = tuple(group.items[group.last_begin :])
        if not group.items:
            self._fail("something to repeat")
        low, high = self._counts()
        if max(low, high or 0) > MAX_REPETITION:
            raise InvalidRequest(f"The grammar repeats something more than {MAX_REPETITION:,} times.")
        if high is not None and high < low:
            self._fail("a largest count that is not less than the smallest")
        del group.items[group.last_begin :]
        if repeated and high != 0:
            place = repeated[0].rule if len(repeated) == 1 and isinstance(repeated[0], Call) else None
            group.items.append(Repeat(self._add((repeated,)) if place is None else place, low, high))

    def _counts(self) -> tuple[int, int | None]:
        letter = self._text[self._at]
        if letter != "{":
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[letter]
        found = self._take(_COUNT, "how often, as in {1,3}")
        low = int(found[1][:9])
        if found[2] is None:
            return low, low
        return low, int(found[3][:9]) if found[3] else None

    def _literal(self) -> list[int]:
        self._at += 1
        codes = []
        while not self._text.startswith('"', self._at):
            codes.append(self._code())
        self._at += 1
        return codes

    def _class(self) -> Chars:
        self._at += 1
        is_inverse = self._text.startswith("^", self._at)
        self._at += is_inverse
        ranges = []
        while not self._text.startswith("]", self._at):
            low = high = self._code()
            if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
                self._at += 1
                high = self._code()
            ranges.append((low, high))
        if not ranges:
            self._fail("a letter between the brackets")
        self._at += 1
        return Chars(tuple(ranges), is_inverse)

    def _code(self) -> int:
        """One character of a literal or a class, as a code point."""
        letter = self._text[self._at : self._at + 1]
        if not letter:
            self._fail("the end of a text or a class")
        if letter != "\\":
            self._at += 1
            return ord(letter)
        kind = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if kind in _ESCAPED:
            return ord(_ESCAPED[kind])
        n_digits = _HEX.get(kind)
        digits = self._text[self._at : self._at + (n_digits or 0)]
        if n_digits is None or not re.fullmatch(f"[0-9A-Fa-f]{{{n_digits}}}", digits):
            self._fail("another escape")
        self._at += n_digits
        return int(digits, 16)

    def _one_token(self) -> OneToken:
        found = self._take(_TOKEN, "a token, as in <[5]> or <think>")
        token = int(found[2]) if found[2] is not None else self._token_of(found[3])
        if token is None:
            raise InvalidRequest(f"The grammar names {found[3][:100]}, which is not one token of this model.")
        return OneToken(token, is_inverse=bool(found[1]))

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = len(self._rules)
            self._rules.append(None)
        return place

    def _add(self, alternatives: Alternatives) -> int:
        self._rules.append(alternatives)
        return len(self._rules) - 1

    def _skip(self, space: re.Pattern[str]) -> None:
        found = space.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _take(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            self._fail(what)
        self._at = found.end()
        return found

    def _fail(self, expected: str) -> NoReturn:
        line = self._text.count("\n", 0, self._at) + 1
        raise InvalidRequest(f"The grammar has a mistake in line {line:,}: expected {expected}.")


def _is_sound(rules: tuple[Alternatives, ...]) -> bool:
    """Whether no rule can come to itself again before a character was read (left recursion)."""
    maybe_empty = _maybe_empty(rules)
    begins: list[set[int]] = []
    for alternatives in rules:
        first: set[int] = set()
        for sequence in alternatives:
            for item in sequence:
                if isinstance(item, Call | Repeat):
                    first.add(item.rule)
                if not _may_be_empty(item, maybe_empty):
                    break
        begins.append(first)
    return not _has_circle(begins)


def _maybe_empty(rules: tuple[Alternatives, ...]) -> list[bool]:
    """For each rule, whether the empty text is one of its texts: in time that grows as the grammar does."""
    known = [False] * len(rules)
    owners, wanted = _empty_if(rules)
    used_in: list[list[int]] = [[] for _ in rules]
    for number, others in enumerate(wanted):
        for rule in others:
            used_in[rule].append(number)
    n_wanted = [len(others) for others in wanted]
    waiting = [owner for owner, n in zip(owners, n_wanted, strict=True) if n == 0]
    while waiting:
        place = waiting.pop()
        if known[place]:
            continue
        known[place] = True
        for number in used_in[place]:
            n_wanted[number] -= 1
            if n_wanted[number] == 0:
                waiting.append(owners[number])
    return known


def _empty_if(rules: tuple[Alternatives, ...]) -> tuple[list[int], list[list[int]]]:
    """Of each sequence that is no letter's: whose it is, and which rules must be empty for it to be empty."""
    owners, wanted = [], []
    for place, alternatives in enumerate(rules):
        for sequence in alternatives:
            items = [item for item in sequence if not (isinstance(item, Repeat) and item.low == 0)]
            others = [item.rule for item in items if isinstance(item, Call | Repeat)]
            if len(others) == len(items):
                owners.append(place)
                wanted.append(others)
    return owners, wanted


def _may_be_empty(item: Item, known: list[bool]) -> bool:
    match item:
        case Call(rule):
            return known[rule]
        case Repeat(rule, low, _):
            return low == 0 or known[rule]
        case _:
            return False


def _has_circle(follows: list[set[int]]) -> bool:
    """Takes away what leads nowhere, until nothing is left or only circles are."""
    n_left = [len(entries) for entries in follows]
    leads_to: list[list[int]] = [[] for _ in follows]
    for place, entries in enumerate(follows):
        for entry in entries:
            leads_to[entry].append(place)
    waiting = [place for place, n in enumerate(n_left) if n == 0]
    n_gone = 0
    while waiting:
        n_gone += 1
        for place in leads_to[waiting.pop()]:
            n_left[place] -= 1
            if n_left[place] == 0:
                waiting.append(place)
    return n_gone < len(follows)
