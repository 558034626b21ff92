"""Log-probabilities of the model's own distribution, before any sampler changed it."""

from __future__ import annotations

import math
from typing import Any

from engine.types import TokenId


def log_probabilities(
    logits: Any, n_vocab: int, token: TokenId, n_best: int
) -> tuple[float, tuple[tuple[TokenId, float], ...]]:
    """Of ``token``, and of the ``n_best`` likeliest ones, the best first. ``logits`` is a pointer to float.

    numpy is imported here: few requests ask for this, and llama_cpp must be loaded before it.
    """
    import numpy as np

    row = np.ctypeslib.as_array(logits, (n_vocab,)).astype(np.float64)
    top = float(row.max())
    total = top + math.log(float(np.exp(row - top).sum()))
    ids = np.argpartition(row, -n_best)[-n_best:] if n_best else np.empty(0, np.int64)
    ordered = ids[np.argsort(row[ids])[::-1]]
    best = tuple((TokenId(int(index)), float(row[index]) - total) for index in ordered)
    return float(row[token]) - total, best
