"""Grammars are read and followed as llama.cpp does it, and what is too much ends with a sentence."""

from __future__ import annotations

import random

import pytest

from engine.errors import InvalidRequest
from engine.gbnf import Follower, Machine, Vocabulary, parse

TEXTS = ["a", "b", "ab", "abc", '"', "{", "}", " ", "\n", "0", "1", "12", "é", "漢字", "x<", "<t>", "yy"]
PIECES = [text.encode() for text in TEXTS] + [bytes([byte]) for byte in (0xC3, 0xA9, 0xE6, 0xBC, 0xA2)]
END = len(PIECES)


def follower(grammar: str) -> Follower:
    vocabulary = Vocabulary(END + 1, lambda token: PIECES[token] if token < END else b"", lambda token: token == END)
    machine = Machine(parse(grammar, lambda text: TEXTS.index(text) if text in TEXTS else None))
    return Follower(machine, vocabulary)


def allowed(grammar: str, *texts: str | bytes) -> set[str | bytes]:
    follows = follower(grammar)
    for text in texts:
        follows.accept(PIECES.index(text.encode() if isinstance(text, str) else text))
    found = follows.allowed()
    assert found == [token for token in range(END + 1) if follows.allows(token)]
    return {"end" if token == END else TEXTS[token] if token < len(TEXTS) else PIECES[token] for token in found}


@pytest.mark.parametrize(
    ("grammar", "texts", "expected"),
    [
        ('root ::= "abc"', [], {"a", "ab", "abc"}),
        ('root ::= "ab" | "b"', ["a"], {"b"}),
        ("root ::= [a-b]*", ["ab"], {"a", "b", "ab", "end"}),
        ("root ::= [^a-z]", [], {'"', "{", "}", " ", "\n", "0", "1", "é", b"\xc3", b"\xe6"}),
        ('root ::= "a"{2}', ["a"], {"a"}),
        ('root ::= "a"{1,2}', ["a", "a"], {"end"}),
        ('root ::= "a"{0,2} "b"', ["a"], {"a", "b", "ab"}),
        ('root ::= ( "a"? "b"? )+', ["a"], {"a", "b", "ab", "end"}),
        ('root ::= "漢" .', [b"\xe6", b"\xbc"], {b"\xa2"}),
        ('root ::= "\\xE9"', [], {"é", b"\xc3"}),
        ('root ::= <t> "a"', [], {"<t>"}),
        ("root ::= !<[1]>", ["a"], {"end"}),
        ('root ::= rest # a remark\nrest ::= "a" rest |\n "b"', ["a"], {"a", "b", "ab"}),
        ('root ::= ("")* "a"', [], {"a"}),
    ],
)
def test_a_grammar_tells_which_tokens_may_come_next(
    grammar: str, texts: list[str | bytes], expected: set[str | bytes]
) -> None:
    assert allowed(grammar, *texts) == expected


@pytest.mark.parametrize(
    ("grammar", "words"),
    [
        ("root ::= (", "line 1: expected a closing bracket"),
        ('root ::= "a', "line 1"),
        ("root ::= [a", "line 1"),
        ("root ::= []", "line 1"),
        ('root ::= "\\q"', "another escape"),
        ("root ::= *", "something to repeat"),
        ('root ::= "a"{3,2}', "largest"),
        ('root ::= "a"{3000}', "repeats"),
        ('root := "a"', "expected ::="),
        ("a ::= b\nroot ::= a", "rule b"),
        ('x ::= "a"', "root"),
        ('root ::= a "x"\na ::= "b"? root', "begins with itself"),
        ("root ::= <no-such>", "not one token"),
    ],
)
def test_mistakes_are_told_with_their_place(grammar: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        follower(grammar)


BOMBS = [
    "\n".join(["root ::= r0 r0", *(f"r{n} ::= r{n + 1}? r{n + 1}? | r{n + 1}" for n in range(60)), 'r60 ::= "a"']),
    'root ::= ((("a"? "b"?){900}){900}){900}',
]


@pytest.mark.parametrize("grammar", BOMBS)
def test_what_multiplies_ends_within_the_budget(grammar: str) -> None:
    with pytest.raises(InvalidRequest, match="ambiguous"):
        go_on_for_long(grammar)


def go_on_for_long(grammar: str) -> None:
    follows = follower(grammar)
    for _ in range(2_000):
        follows.accept(follows.allowed()[0])


@pytest.mark.parametrize("n_rules", [60, 1_500])
def test_rules_that_two_rules_lead_to_cost_no_more_than_their_number(n_rules: int) -> None:
    chain = (f"r{n} ::= r{n + 1} | r{n + 1}" for n in range(n_rules))

    assert allowed("\n".join(["root ::= r0", *chain, f'r{n_rules} ::= "a"'])) == {"a"}


def test_a_copy_goes_its_own_way() -> None:
    first = follower('root ::= "a" "b" | "b" "a"')
    second = first.copy()
    first.accept(PIECES.index(b"a"))
    second.accept(PIECES.index(b"b"))

    assert first.allows(PIECES.index(b"b"))
    assert second.allows(PIECES.index(b"a"))


def test_random_answers_of_a_list_stay_what_the_grammar_says() -> None:
    grammar = 'root ::= "{" ( item ( " " item )* )? "}"\nitem ::= [0-1]+ "2"? | "\\"" [^"{}\\n]* "\\""'
    for seed in range(20):
        chance, follows, text = random.Random(seed), follower(grammar), b""
        for _ in range(30):
            token = chance.choice(follows.allowed())
            if token == END:
                break
            follows.accept(token)
            text += PIECES[token]
        assert text.startswith(b"{")
        assert b"\n" not in text
