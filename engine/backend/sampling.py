"""Sampling chains: the settings of a request as llama.cpp's own samplers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from engine.backend.bindings import lib
from engine.types import SamplingParams, TokenId


def make_chain(params: SamplingParams, n_vocab: int, history: Sequence[TokenId]) -> Any:
    """A ``llama_sampler`` chain in llama.cpp's usual order; the caller frees it.

    Tokens of ``history`` are accepted first, so that penalties see the prompt too.
    """
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    for sampler in _samplers(params, n_vocab):
        lib.llama_sampler_chain_add(chain, sampler)
    if params.repeat_penalty != 1.0:
        for token in history:
            lib.llama_sampler_accept(chain, token)
    return chain


def _samplers(params: SamplingParams, n_vocab: int) -> list[Any]:
    chain = []
    if params.repeat_penalty != 1.0 and params.repeat_last_n:
        chain.append(lib.llama_sampler_init_penalties(n_vocab, params.repeat_last_n, params.repeat_penalty, 0.0, 0.0))
    if params.temperature == 0:
        return [*chain, lib.llama_sampler_init_greedy()]
    if params.top_k:
        chain.append(lib.llama_sampler_init_top_k(params.top_k))
    if params.top_p < 1:
        chain.append(lib.llama_sampler_init_top_p(params.top_p, 1))
    if params.min_p > 0:
        chain.append(lib.llama_sampler_init_min_p(params.min_p, 1))
    chain.append(lib.llama_sampler_init_temp(params.temperature))
    # 2**32 - 1 means "choose one" to llama.cpp, so it is no seed.
    seed = secrets.randbelow(2**32 - 1) if params.seed is None else params.seed
    return [*chain, lib.llama_sampler_init_dist(seed)]
