"""Sampling chains: the settings of a request as llama.cpp's own samplers."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Sequence
from typing import Any

from engine.backend.bindings import lib
from engine.backend.grammar import make_grammar_sampler
from engine.errors import InvalidRequest
from engine.types import SamplingParams, TokenId

_DRY_BREAKERS = (b"\n", b":", b'"', b"*")  # llama.cpp's own
_MIROSTAT_M = 100  # as in the paper


def make_chain(params: SamplingParams, vocab: Any, n_vocab: int, history: Sequence[TokenId]) -> Any:
    """A ``llama_sampler`` chain; the caller frees it. Raises InvalidRequest for a grammar or bias that cannot be.

    Tokens of ``history`` are accepted first, so that penalties and DRY see the prompt too; the grammar does not see
    it and is added after that.
    """
    if any(not 0 <= token < n_vocab for token, _ in params.logit_bias):
        raise InvalidRequest(f"logit_bias names a token that is not in the vocabulary of {n_vocab:,}.")
    grammar = make_grammar_sampler(params, vocab)
    memory = _with_memory(params, vocab, n_vocab)
    for sampler in memory:
        for token in history:
            lib.llama_sampler_accept(sampler, token)
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    bias = [_bias(params, n_vocab)] if params.logit_bias else []
    for sampler in ([grammar] if grammar else []) + bias + memory + _drawing(params, n_vocab):
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
