"""How much prefill a step may carry without making the running answers stutter."""

from __future__ import annotations

_WEIGHT = 0.2
_PREFILL_SHARE = 0.75
_LEAST_TOKENS = 16
_MOST_ROUNDS = 32
_ROUNDS_S = 0.025
"""A reader sees no difference, and who comes meanwhile waits no longer than for a chunk of a prompt."""


class Pace:
    """Running estimates of what a step costs, from steps as they were measured.

    A step of ``n_decoding`` streams and ``n_prefill`` prompt tokens takes about ``decode_s + n_prefill * prefill_s``.
    While answers stream, prefill gets at most three quarters of a step's time, so that they keep a quarter of their
    speed; with nobody to wait for, it gets whole chunks.
    """

    def __init__(self, chunk_tokens: int) -> None:
        self._chunk_tokens = chunk_tokens
        self._decode_s: float | None = None
        self._prefill_s: float | None = None

    @property
    def prefill_s(self) -> float | None:
        """Seconds a prompt token, or None before the first was measured."""
        return self._prefill_s

    def rounds(self) -> int:
        """How many tokens the running answers may get before anything else is looked at."""
        if not self._decode_s:
            return 1
        return max(1, min(_MOST_ROUNDS, int(_ROUNDS_S / self._decode_s)))

    def observe(self, n_decoding: int, n_prefill: int, seconds: float) -> None:
        if n_prefill == 0:
            self._decode_s = _blend(self._decode_s, seconds)
        elif n_decoding == 0 or self._decode_s is not None:
            own_s = seconds - (self._decode_s or 0.0) * (n_decoding > 0)
            self._prefill_s = _blend(self._prefill_s, max(own_s, 0.0) / n_prefill)

    def prefill_tokens(self, n_decoding: int) -> int:
        """How many prompt tokens the next step may compute beside ``n_decoding`` running answers."""
        if n_decoding == 0 or not self._prefill_s or self._decode_s is None:
            return self._chunk_tokens
        budget_s = self._decode_s * _PREFILL_SHARE / (1 - _PREFILL_SHARE)
        return max(_LEAST_TOKENS, min(self._chunk_tokens, int(budget_s / self._prefill_s)))


def _blend(old: float | None, new: float) -> float:
    return new if old is None else old + _WEIGHT * (new - old)
