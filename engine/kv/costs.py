"""What computing, saving and fetching tokens costs on this machine: running estimates."""

from __future__ import annotations

_MEMORY = 0.95
"""What an old observation weighs after a new one of the same size."""
_MEMORY_PER_OPEN = 0.98
_GUESS_BYTES = 2**20
"""What a guess weighs against observations."""
_FULL_WEIGHT_TOKENS = 256


class Rate:
    """Seconds per byte of one kind of transfer: a guess, and observations that outweigh it and fade.

    They fade because a transfer that once seemed slow is not tried any more. A guess is better too small: a transfer
    that is never tried is never measured.
    """

    def __init__(self, guess_s_per_byte: float) -> None:
        self._guess_s_per_byte = guess_s_per_byte
        self._n_bytes = self._seconds = 0.0

    def observe(self, n_bytes: int, seconds: float) -> None:
        if n_bytes > 0 and seconds >= 0:
            self._fade(_MEMORY)
            self._n_bytes += n_bytes
            self._seconds += seconds

    def forget_some(self) -> None:
        """A request was opened."""
        self._fade(_MEMORY_PER_OPEN)

    def seconds(self, n_bytes: int) -> float:
        guessed_s = self._guess_s_per_byte * _GUESS_BYTES
        return n_bytes * (guessed_s + self._seconds) / (_GUESS_BYTES + self._n_bytes)

    def _fade(self, factor: float) -> None:
        self._n_bytes *= factor
        self._seconds *= factor


class PrefillCost:
    """Seconds per token as a line over the position: attention makes later tokens dearer.

    The line is a least-squares fit in which old observations fade. Until positions differ enough, the slope stays.
    """

    _LEAST_SPREAD_TOKENS = 256.0

    def __init__(self, s_per_token: float, s_per_token_and_position: float) -> None:
        self.intercept_s = s_per_token
        self.slope_s = s_per_token_and_position
        self._weight = self._x = self._y = self._xx = self._xy = 0.0

    def observe(self, begin: int, n_tokens: int, seconds: float) -> None:
        """``n_tokens`` tokens from position ``begin`` on were computed in one go."""
        if n_tokens <= 0 or seconds < 0:
            return
        x, y, weight = begin + n_tokens / 2, seconds / n_tokens, min(1.0, n_tokens / _FULL_WEIGHT_TOKENS)
        self._weight = self._weight * _MEMORY + weight
        share = weight / self._weight
        self._x += (x - self._x) * share
        self._y += (y - self._y) * share
        self._xx += (x * x - self._xx) * share
        self._xy += (x * y - self._xy) * share
        spread = self._xx - self._x**2
        if spread > self._LEAST_SPREAD_TOKENS**2:
            self.slope_s = max(0.0, (self._xy - self._x * self._y) / spread)
        self.intercept_s = max(self._y / 10, self._y - self.slope_s * self._x)

    def seconds(self, begin: int, end: int) -> float:
        return (end - begin) * (self.intercept_s + self.slope_s * (begin + end) / 2)


class Costs:
    """Estimates for one model on this machine. The guesses are for a small model on a CPU, and a good disk."""

    def __init__(self) -> None:
        self.prefill = PrefillCost(2e-3, 1e-7)
        self.save = Rate(2e-10)
        self.restore = Rate(2e-10)
        self.disk_read = Rate(3e-10)

    def observe_prefill(self, begin: int, n_tokens: int, seconds: float) -> None:
        self.prefill.observe(begin, n_tokens, seconds)

    def forget_some(self) -> None:
        """A request was opened."""
        for rate in (self.save, self.restore, self.disk_read):
            rate.forget_some()
