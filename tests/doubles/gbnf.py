"""Writes random texts of a grammar, so that what a grammar allows can be given to what has to read it."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[a-z][a-z0-9]*|[()|?*+]')
_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})|\\(.)")
_LETTERS = "abceEXYZ019+ _-.,:;<>/{}[]()\"'\\\né|"
_MOST_RULES = 120


@dataclass(frozen=True, slots=True)
class Leaf:
    """A literal, a class of letters or the name of a rule."""

    token: str


@dataclass(frozen=True, slots=True)
class Repeat:
    what: Node
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Choice:
    sequences: tuple[tuple[Node, ...], ...]


Node = Leaf | Repeat | Choice


class Writer:
    """One for each grammar and seed. When the text is long it takes the shortest way to the end."""

    def __init__(self, grammar: str, seed: int) -> None:
        rules = (line.split(" ::= ", 1) for line in grammar.split("\n"))
        self._rules = {name: _parsed(_TOKEN.findall(body)) for name, body in rules}
        self._heights = dict.fromkeys(self._rules, math.inf)
        while self._improve_heights():
            pass
        self._random = random.Random(seed)
        self._n_rules = 0

    def text(self) -> str:
        return self._write(self._rules["root"])

    def _write(self, node: Node) -> str:
        is_long = self._n_rules > _MOST_RULES
        match node:
            case Leaf(token) if token[0] == '"':
                return _unescaped(token[1:-1])
            case Leaf(token) if token[0] == "[":
                pattern = re.compile(token)
                return self._random.choice([letter for letter in _LETTERS if pattern.fullmatch(letter)])
            case Leaf(token):
                self._n_rules += 1
                return self._write(self._rules[token])
            case Repeat(what, low, high):
                times = low if is_long else self._random.randint(low, high)
                return "".join(self._write(what) for _ in range(times))
            case Choice(sequences):
                shortest = min(sequences, key=self._sequence_height)
                return "".join(map(self._write, shortest if is_long else self._random.choice(sequences)))

    def _height(self, node: Node) -> float:
        match node:
            case Leaf(token):
                return 1 + self._heights[token] if token[0].isalpha() else 0
            case Repeat(what, low, _):
                return self._height(what) if low else 0
            case Choice(sequences):
                return min(map(self._sequence_height, sequences))

    def _sequence_height(self, sequence: tuple[Node, ...]) -> float:
        return max(map(self._height, sequence), default=0)

    def _improve_heights(self) -> bool:
        better = {name: self._height(node) for name, node in self._rules.items()}
        is_better, self._heights = better != self._heights, better
        return is_better


def _parsed(tokens: list[str]) -> Choice:
    """Takes the tokens up to a closing bracket, and that too."""
    sequences: list[list[Node]] = [[]]
    while tokens:
        token = tokens.pop(0)
        if token == ")":
            break
        if token == "|":
            sequences.append([])
        elif token in "?*+":
            low, high = {"?": (0, 1), "*": (0, 3), "+": (1, 3)}[token]
            sequences[-1].append(Repeat(sequences[-1].pop(), low, high))
        else:
            sequences[-1].append(_parsed(tokens) if token == "(" else Leaf(token))
    return Choice(tuple(map(tuple, sequences)))


def _unescaped(text: str) -> str:
    names = {"n": "\n", "t": "\t", "r": "\r"}
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else names.get(found[2], found[2]), text)
