"""Another program that holds a GPU's memory, so that only so much is free.

    python -m tests.benchmarks.ballast

Reads numbers of bytes from its standard input, one a line, takes or gives back until that much is free as it sees it,
and prints what is. Through ggml, as a model would take it; without a GPU it holds nothing and prints 0.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from engine.backend.ggml import Handle, base, handles

PIECE_BYTES = 1 << 30
LEAST_BYTES = 8 << 20


class Ballast:
    """The other end, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def leave_free(self, n_bytes: int) -> int:
        """Returns what is free then, in the eyes of a process whose driver is awake."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{n_bytes}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def ballast() -> Iterator[Ballast]:
    command = [sys.executable, "-m", "tests.benchmarks.ballast"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Ballast(process)
    finally:
        process.kill()
        process.wait()


def _hold(gpu: Handle, pieces: list[int], target_bytes: int) -> None:
    while pieces and gpu.memory()[0] < target_bytes:
        base().ggml_backend_buffer_free(pieces.pop())
    free_bytes = gpu.memory()[0]
    while free_bytes - target_bytes >= LEAST_BYTES:
        piece = base().ggml_backend_buft_alloc_buffer(gpu.buffer_type, min(PIECE_BYTES, free_bytes - target_bytes))
        before_bytes, free_bytes = free_bytes, gpu.memory()[0]
        if not piece or free_bytes >= before_bytes:  # full, or a device that does not count
            return
        pieces.append(piece)


def main() -> None:
    gpu = next((handle for handle in handles() if handle.is_gpu), None)
    pieces: list[int] = []
    for line in sys.stdin:
        if gpu is not None:
            _hold(gpu, pieces, int(line))
        sys.stdout.write(f"{gpu.memory()[0] if gpu is not None else 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
