"""The tokenizer of a loaded model."""

from __future__ import annotations

import ctypes
from functools import cached_property
from typing import Any

from engine.backend.bindings import lib
from engine.errors import InvalidRequest
from engine.types import TokenId

_ATTR_UNKNOWN, _ATTR_CONTROL = 1 << 0, 1 << 3  # enum llama_token_attr, llama.h
_NO_TOKEN = -1  # LLAMA_TOKEN_NULL, llama.h


class LlamaVocab:
    """Implements ``base.Vocab`` on a ``llama_vocab`` (``handle``), which belongs to the model and dies with it."""

    def __init__(self, vocab: Any) -> None:
        self.handle = vocab
        self._pieces: dict[TokenId, bytes] = {}
        self._ends: dict[TokenId, bool] = {}
        self.n_tokens: int = lib.llama_vocab_n_tokens(vocab)
        self.bos_text = self._text(lib.llama_vocab_bos(vocab))
        self.eos_text = self._text(lib.llama_vocab_eos(vocab))
        bos = lib.llama_vocab_bos(vocab)
        wants_bos = lib.llama_vocab_get_add_bos(vocab) and bos != _NO_TOKEN
        self.prefix: tuple[TokenId, ...] = (TokenId(bos),) if wants_bos else ()

    @cached_property
    def special_texts(self) -> frozenset[str]:
        attributes = (lib.llama_vocab_get_attr(self.handle, token) for token in range(self.n_tokens))
        special = [token for token, attr in enumerate(attributes) if attr & (_ATTR_CONTROL | _ATTR_UNKNOWN)]
        return frozenset(filter(None, map(self._text, special)))

    def tokenize(self, text: str, special: bool) -> list[int]:
        return self._tokenize(text, add_special=False, parse_special=special)

    def tokenize_alone(self, text: str) -> list[int]:
        return self._tokenize(text, add_special=True, parse_special=False)

    def _tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        try:
            raw = text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest("The text holds half a character (a lone surrogate).") from error
        capacity = len(raw) + 16
        while True:
            tokens = (ctypes.c_int32 * capacity)()
            n_tokens: int = lib.llama_tokenize(self.handle, raw, len(raw), tokens, capacity, add_special, parse_special)
            if n_tokens >= 0:
                return tokens[:n_tokens]
            capacity = -n_tokens

    def piece(self, token: TokenId) -> bytes:
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._read_piece(token)
        return known

    def ends_turn(self, token: TokenId) -> bool:
        known = self._ends.get(token)
        if known is None:
            known = self._ends[token] = bool(lib.llama_vocab_is_eog(self.handle, token))
        return known

    def text_of(self, token: TokenId) -> bytes:
        """The bytes that stand for a token, control tokens too."""
        return self._read_piece(token, special=True)

    def _read_piece(self, token: TokenId, *, special: bool = False) -> bytes:
        capacity = 64
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            n_bytes: int = lib.llama_token_to_piece(self.handle, token, buffer, capacity, 0, special)
            if n_bytes >= 0:
                return buffer.raw[:n_bytes]
            capacity = -n_bytes

    def _text(self, token: int) -> str:
        raw: bytes | None = None if token == _NO_TOKEN else lib.llama_vocab_get_text(self.handle, token)
        return raw.decode(errors="replace") if raw else ""
