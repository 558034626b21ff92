"""Tokens as bytes, and the keys of pages.

A token is four bytes here: a page's tokens are compared, hashed and written to disk without making them numbers again.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

from engine.types import TokenId

TOKEN_BYTES = 4
KEY_BYTES = 16


def pack(tokens: Sequence[TokenId]) -> bytes:
    return array("i", tokens).tobytes()


def n_tokens_of(packed: bytes | bytearray) -> int:
    return len(packed) // TOKEN_BYTES


def root_key(fingerprint: str) -> bytes:
    return blake2b(fingerprint.encode(), digest_size=KEY_BYTES).digest()


def page_key(parent: bytes, tokens: bytes) -> bytes:
    """The key of a page: it stands for all tokens from the first one on, and for the fingerprint at the root."""
    return blake2b(parent + tokens, digest_size=KEY_BYTES).digest()


def common_prefix(a: bytes | bytearray, b: bytes | bytearray) -> int:
    """How many tokens both begin with."""
    n_bytes = min(len(a), len(b))
    left, right = a[:n_bytes], b[:n_bytes]
    if left == right:
        return n_bytes // TOKEN_BYTES
    difference = int.from_bytes(left, "little") ^ int.from_bytes(right, "little")
    lowest_bit = (difference & -difference).bit_length() - 1
    return lowest_bit // (8 * TOKEN_BYTES)
