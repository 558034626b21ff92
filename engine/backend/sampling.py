"""Drawing tokens: the settings of a request as llama.cpp's own samplers, applied to as few candidates as will do."""

from __future__ import annotations

import copy
import ctypes
import math
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.backend.bindings import lib
from engine.errors import InvalidRequest
from engine.gbnf import Follower
from engine.types import SamplingParams, TokenId

if TYPE_CHECKING:
    import numpy as np

    Row = np.ndarray[tuple[int], np.dtype[np.float32]]

_DRY_BREAKERS = (b"\n", b":", b'"', b"*")  # llama.cpp's own
_MIROSTAT_M = 100  # as in the paper
_MOST_PRESELECTED = 4096
_MOST_TOP_K = 1024
_FIRST_GAP = 8.0
_GRAMMAR_CANDIDATES = 64


class Candidates:
    """A ``llama_token_data_array`` that is filled again for every token. One for each backend. Thread: one."""

    def __init__(self, n_most: int = _MOST_PRESELECTED) -> None:
        self._allot(n_most)

    def _allot(self, n_most: int) -> None:
        import numpy as np  # after llama_cpp: the other way round the CUDA build dies while it loads a model

        self._n_most = n_most
        data = np.zeros(n_most, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
        self._ids, self.logits = data["id"], data["logit"]
        self._data = ctypes.cast(data.ctypes.data, ctypes.POINTER(lib.llama_token_data))
        self._struct = lib.llama_token_data_array(self._data, 0, -1, False)
        self._pointer = ctypes.pointer(self._struct)

    def fill(self, row: Row, tokens: Any) -> Any:
        """A pointer to these tokens with their logits. Samplers may leave their own array in its place."""
        n_tokens = len(tokens)
        if n_tokens > self._n_most:
            self._allot(len(row))
        self._ids[:n_tokens] = tokens
        self.logits[:n_tokens] = row[tokens]
        array = self._struct
        array.data, array.size, array.selected, array.sorted = self._data, n_tokens, -1, False
        return self._pointer

    @property
    def selected(self) -> int:
        """The token that the samplers chose."""
        return int(self._struct.data[self._struct.selected].id)


class Sampler:
    """Draws one request's tokens, as its chain would from the whole vocabulary, and mostly sooner.

    llama.cpp makes a candidate of every token of the vocabulary before the chain sees them: for 49,000 of them that
    takes 90 us, and the weights out of the level-2 cache. Where the chain begins with top-k (greedy is top-1), what is
    not among the k likeliest cannot matter. So these are found first, by a threshold that follows from what the token
    before needed, and the same chain draws from them. Penalties, DRY, bias and mirostat look at all tokens.
    """

    def __init__(
        self,
        params: SamplingParams,
        vocab: Any,
        n_vocab: int,
        history: Sequence[TokenId],
        candidates: Candidates,
        follower: Follower | None = None,
    ) -> None:
        """``follower`` knows which tokens the grammar allows. Raises InvalidRequest for a bias that cannot be."""
        self.chain = _make_chain(params, vocab, n_vocab, history)
        self._follower = follower
        self._candidates = candidates
        self._n_least = _n_least(params, n_vocab)
        self._n_wanted = min(n_vocab, max(self._n_least or 0, _GRAMMAR_CANDIDATES if follower else 0))
        self._gap = _FIRST_GAP

    def copy(self, candidates: Candidates) -> Sampler:
        """One that draws the same tokens from the same logits, random numbers included, and changes nothing here."""
        twin = copy.copy(self)
        twin._candidates = candidates
        twin.chain = lib.llama_sampler_clone(self.chain)
        twin._follower = self._follower.copy() if self._follower is not None else None
        return twin

    @property
    def is_whole(self) -> bool:
        """Whether it looks at every token that llama.cpp has, and draws with :meth:`draw_whole` only."""
        return self._n_least is None and self._follower is None

    @property
    def is_constrained(self) -> bool:
        """Whether a grammar says what may be drawn: then the chain alone is not enough."""
        return self._follower is not None

    def draw(self, context: Any, index: int, row: Row) -> TokenId:
        """The next token, from the logits of the batch's output ``index``, which are also in ``row``.

        Raises InvalidRequest where the grammar is too much to follow or leaves nothing to say.
        """
        if self._follower is not None:
            return self._draw_allowed(row, self._follower)
        if self._n_least == 1:
            return TokenId(int(row.argmax()))
        tokens = self._likeliest(row)
        if tokens is None:
            return self.draw_whole(context, index)
        return self._draw_from(row, tokens)

    def draw_whole(self, context: Any, index: int) -> TokenId:
        return TokenId(lib.llama_sampler_sample(self.chain, context, index))

    def close(self) -> None:
        lib.llama_sampler_free(self.chain)

    def _draw_from(self, row: Row, tokens: Any) -> TokenId:
        lib.llama_sampler_apply(self.chain, self._candidates.fill(row, tokens))
        token = self._candidates.selected
        lib.llama_sampler_accept(self.chain, token)
        return TokenId(token)

    def _draw_allowed(self, row: Row, follower: Follower) -> TokenId:
        """The likeliest are asked first: mostly enough of them are allowed, and the others need no look."""
        allowed = self._likeliest_allowed(row, follower)
        if allowed is None:
            allowed = follower.allowed()
        if not allowed:
            raise InvalidRequest(
                "The grammar or schema asks for text that this model has no token for.", "Change it, or leave it out."
            )
        token = self._draw_from(row, allowed)
        follower.accept(token)
        return token

    def _likeliest_allowed(self, row: Row, follower: Follower) -> list[int] | None:
        """As many of the likeliest tokens as the chain needs; None where they cannot be had so."""
        tokens = None if self._n_least is None else self._likeliest(row)
        if tokens is None:
            return None
        found: list[int] = []
        for place in (-row[tokens]).argsort(kind="stable"):
            if follower.allows(token := int(tokens[place])):
                found.append(token)
                if len(found) == self._n_least:
                    return sorted(found)
        return None

    def _likeliest(self, row: Row) -> Any:
        """At least the ``_n_wanted`` likeliest tokens in the order of their numbers; None where there are too many."""
        import numpy as np

        top = float(row.max())
        if not math.isfinite(top):
            return None
        tokens = np.flatnonzero(row >= top - self._gap)
        if not self._n_wanted <= len(tokens) <= _MOST_PRESELECTED:
            least = float(np.partition(row, -self._n_wanted)[-self._n_wanted])
            tokens = np.flatnonzero(row >= least)
            self._gap = 1.25 * (top - least) + 0.5 if math.isfinite(least) else _FIRST_GAP
        elif len(tokens) > 8 * self._n_wanted:
            self._gap *= 0.9
        return tokens if len(tokens) <= _MOST_PRESELECTED else None


def _n_least(params: SamplingParams, n_vocab: int) -> int | None:
    """How many of the likeliest tokens decide what is drawn; None: all of them may."""
    changes_logits = params.has_penalties or params.logit_bias or (params.dry_multiplier > 0 and params.dry_last_n)
    if changes_logits or (params.mirostat and params.temperature > 0):
        return None
    if params.temperature == 0:
        return 1
    return params.top_k if 0 < params.top_k <= min(_MOST_TOP_K, n_vocab) else None


def _make_chain(params: SamplingParams, vocab: Any, n_vocab: int, history: Sequence[TokenId]) -> Any:
    """A ``llama_sampler`` chain, which the caller frees.

    Tokens of ``history`` are accepted first, so that penalties and DRY see the prompt too. Raises InvalidRequest.
    """
    if any(not 0 <= token < n_vocab for token, _ in params.logit_bias):
        raise InvalidRequest(f"logit_bias names a token that is not in the vocabulary of {n_vocab:,}.")
    memory = _with_memory(params, vocab, n_vocab)
    for sampler in memory:
        for token in history:
            lib.llama_sampler_accept(sampler, token)
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    bias = [_bias(params, n_vocab)] if params.logit_bias else []
    for sampler in bias + memory + _drawing(params, n_vocab):
        lib.llama_sampler_chain_add(chain, sampler)
    return chain


def _with_memory(params: SamplingParams, vocab: Any, n_vocab: int) -> list[Any]:
    samplers = []
    if params.has_penalties:
        samplers.append(
            lib.llama_sampler_init_penalties(
                n_vocab,
                params.repeat_last_n,
                params.repeat_penalty,
                params.frequency_penalty,
                params.presence_penalty,
            )
        )
    if params.dry_multiplier > 0 and params.dry_last_n:
        breakers = (ctypes.c_char_p * len(_DRY_BREAKERS))(*_DRY_BREAKERS)
        settings = (params.dry_multiplier, params.dry_base, params.dry_allowed_length, params.dry_last_n)
        samplers.append(lib.llama_sampler_init_dry(vocab, *settings, breakers, len(breakers)))
    return samplers


def _drawing(params: SamplingParams, n_vocab: int) -> list[Any]:
    if params.temperature == 0:
        return [lib.llama_sampler_init_greedy()]
    # 2**32 - 1 means "choose one" to llama.cpp, so it is no seed.
    seed = secrets.randbelow(2**32 - 1) if params.seed is None else params.seed
    if params.mirostat:
        return [lib.llama_sampler_init_temp(params.temperature), _mirostat(params, n_vocab, seed)]
    samplers = []
    if params.top_k:
        samplers.append(lib.llama_sampler_init_top_k(params.top_k))
    if params.typical_p < 1:
        samplers.append(lib.llama_sampler_init_typical(params.typical_p, 1))
    if params.top_p < 1:
        samplers.append(lib.llama_sampler_init_top_p(params.top_p, 1))
    if params.min_p > 0:
        samplers.append(lib.llama_sampler_init_min_p(params.min_p, 1))
    if params.xtc_probability > 0:
        samplers.append(lib.llama_sampler_init_xtc(params.xtc_probability, params.xtc_threshold, 1, seed))
    return [*samplers, lib.llama_sampler_init_temp(params.temperature), lib.llama_sampler_init_dist(seed)]


def _mirostat(params: SamplingParams, n_vocab: int, seed: int) -> Any:
    if params.mirostat == 1:
        settings = (params.mirostat_tau, params.mirostat_eta, _MIROSTAT_M)
        return lib.llama_sampler_init_mirostat(n_vocab, seed, *settings)
    return lib.llama_sampler_init_mirostat_v2(seed, params.mirostat_tau, params.mirostat_eta)


def _bias(params: SamplingParams, n_vocab: int) -> Any:
    entries = (lib.llama_logit_bias * len(params.logit_bias))(*params.logit_bias)
    return lib.llama_sampler_init_logit_bias(n_vocab, len(entries), entries)
