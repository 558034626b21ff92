"""Which model can draft for which, from the headers of their files alone.

A draft's tokens are given to the target by number, so both must number the same vocabulary in the same way; what the
tokenizers do to text before that must agree, or the draft has learned other habits than it meets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.gguf import GgufArray, GgufHeader
from engine.gguf.header import GgufValue

_SMALLER = 0.5
"""A draft reads no more than this part of the target's weights for each token, or it cannot win anything."""

_SPECIAL = ("bos", "eos", "eot", "eom", "unknown", "padding")
_HABITS = {
    "pre": "split text into words in another way",
    "add_space_prefix": "treat a text's beginning in another way",
    "remove_extra_whitespaces": "treat spaces in another way",
    "precompiled_charsmap": "normalise letters in another way",
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a header says about the tokenizer. Everything that a pairing looks at, without the weights."""

    values: Mapping[str, GgufValue]

    @classmethod
    def of(cls, header: GgufHeader) -> Vocabulary:
        start = "tokenizer.ggml."
        return cls({key[len(start) :]: value for key, value in header.metadata.items() if key.startswith(start)})

    def array(self, name: str) -> GgufArray | None:
        value = self.values.get(name)
        return value if isinstance(value, GgufArray) else None


def why_not(target: GgufHeader, draft: GgufHeader) -> str | None:
    """Why ``draft`` cannot draft for ``target``, as the end of a sentence that begins with its name; None: it can."""
    ours, theirs = Vocabulary.of(target), Vocabulary.of(draft)
    if ours.values.get("model") != theirs.values.get("model"):
        return "has a tokenizer of another kind"
    if problem := _vocabulary_problem(ours, theirs):
        return problem
    for name in _SPECIAL:
        key = f"{name}_token_id"
        if ours.values.get(key, theirs.values.get(key)) != theirs.values.get(key, ours.values.get(key)):
            return f"uses another token for {name.upper()}"
    for name, words in _HABITS.items():
        if not _same(ours.values.get(name), theirs.values.get(name)):
            return f"was trained to {words}"
    if draft.size_bytes > _SMALLER * target.size_bytes:
        return "is not much smaller"
    return None


def best_partner(target: GgufHeader, library: Iterable[GgufHeader]) -> GgufHeader | None:
    """The smallest one that can draft for the target: a guess is cheap to make and cheap to be wrong about."""
    partners = [header for header in library if header.path != target.path and why_not(target, header) is None]
    return min(partners, key=lambda header: (header.size_bytes, header.path), default=None)


def _vocabulary_problem(ours: Vocabulary, theirs: Vocabulary) -> str | None:
    tokens, others = ours.array("tokens"), theirs.array("tokens")
    if tokens is None or others is None:
        return "does not say which vocabulary it has"
    if len(tokens) != len(others):
        return f"has a vocabulary of {len(others):,} tokens and not of {len(tokens):,}"
    if tokens.data != others.data:
        numbers = zip(tokens.raw_strings(), others.raw_strings(), strict=True)
        first = next((number for number, (one, other) in enumerate(numbers) if one != other), 0)
        return f"has another vocabulary: token {first:,} differs"
    if not _same(ours.array("token_type"), theirs.array("token_type")):
        return "marks other tokens as special"
    return None


def _same(one: GgufValue | None, other: GgufValue | None) -> bool:
    """What only one of two files says is no contradiction: converters differ in how much they write down."""
    if one is None or other is None:
        return True
    if isinstance(one, GgufArray) and isinstance(other, GgufArray):
        return one.kind is other.kind and one.data == other.data
    return one == other
