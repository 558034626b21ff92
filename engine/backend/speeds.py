"""How fast each device reads weights and multiplies, measured through ggml, in about a second each.

``python -m engine.backend.speeds`` prints JSON. What is measured is what a model does: products of 4-bit matrices with
one vector (decode, limited by the memory's bandwidth) and with a batch (prefill, limited by arithmetic), in a chain, so
that the kernels' own losses are in the numbers. The weights are zero, which costs as much as any.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import msgspec
import psutil

from engine.backend.ggml import TYPES, Handle, InitParams, base, handles

WIDTH = 4096
"""Of a matrix, which has 9 MiB then: more than any cache after a few of them, and none too large for a small device."""

N_BATCH = 512
_N_CPU_MATRICES, _N_GPU_MATRICES = 24, 64
_N_SMALL = 512
_BUDGET_S = 0.25
_MAX_ROUNDS = 200
_UPLOAD_BYTES = 256 << 20
_MIN_FREE_BYTES = 2 << 30
"""A device with less left is not measured now: the measurement itself needs about a gigabyte."""


class Speed(msgspec.Struct, frozen=True):
    """``bandwidth_bytes_per_s``: weights read by products with a vector. ``matmul_flops``: with a batch of 512.

    ``op_latency_s``: one small operation of a long graph. ``upload_bytes_per_s``: from pageable memory to the device.
    """

    bandwidth_bytes_per_s: float
    matmul_flops: float
    op_latency_s: float
    upload_bytes_per_s: float | None = None


class _Graph:
    """A graph of one device with its memory. ``build`` gets the ggml context and returns the last tensor."""

    def __init__(self, backend: int, n_nodes: int, build: Callable[[int], int], life: ExitStack) -> None:
        library = base()
        overhead: int = library.ggml_tensor_overhead()
        n_bytes = overhead * (2 * n_nodes + 16) + library.ggml_graph_overhead_custom(2 * n_nodes + 16, False)
        self._backend = backend
        context: int = library.ggml_init(InitParams(n_bytes, None, True))
        life.callback(library.ggml_free, context)
        last = build(context)
        self._graph: int = library.ggml_new_graph_custom(context, 2 * n_nodes + 16, False)
        library.ggml_build_forward_expand(self._graph, last)
        buffer: int | None = library.ggml_backend_alloc_ctx_tensors(context, backend)
        if not buffer:
            raise MemoryError
        life.callback(library.ggml_backend_buffer_free, buffer)
        library.ggml_backend_buffer_clear(buffer, 0)

    def seconds(self) -> float:
        """Of one run: the shortest of several."""
        best, spent_s, rounds = float("inf"), 0.0, 0
        self._run()  # the first run compiles, captures, or wakes threads
        while rounds < 2 or (spent_s < _BUDGET_S and rounds < _MAX_ROUNDS):
            seconds = self._run()
            best, spent_s, rounds = min(best, seconds), spent_s + seconds, rounds + 1
        return best

    def _run(self) -> float:
        started_s = time.perf_counter()
        base().ggml_backend_graph_compute(self._backend, self._graph)
        base().ggml_backend_synchronize(self._backend)
        return time.perf_counter() - started_s


def measure(handle: Handle, n_threads: int) -> Speed | None:
    """None where the device is too full to be measured, or cannot do it."""
    if handle.memory()[0] < _MIN_FREE_BYTES:
        return None
    with ExitStack() as life:
        backend: int | None = base().ggml_backend_dev_init(handle.address, None)
        if not backend:
            return None
        life.callback(base().ggml_backend_free, backend)
        _set_threads(handle, backend, n_threads)
        try:
            return _measure(handle, backend)
        except MemoryError:
            return None


def _measure(handle: Handle, backend: int) -> Speed:
    n_matrices = _N_GPU_MATRICES if handle.is_gpu else _N_CPU_MATRICES
    matrix_bytes = WIDTH * WIDTH // 256 * 144  # blocks of Q4_K, ggml-common.h
    decode_s = _timed(backend, n_matrices, lambda context: _chain(context, n_matrices, 1))
    small_s = _timed(backend, _N_SMALL, _small_operations) / _N_SMALL
    n_for_batch = 8 if handle.is_gpu else 1
    batch_s = _timed(backend, n_for_batch, lambda context: _chain(context, n_for_batch, N_BATCH))
    return Speed(
        bandwidth_bytes_per_s=n_matrices * matrix_bytes / decode_s,
        matmul_flops=n_for_batch * 2.0 * WIDTH * WIDTH * N_BATCH / batch_s,
        op_latency_s=small_s,
        upload_bytes_per_s=_upload(backend) if handle.is_gpu else None,
    )


def _timed(backend: int, n_nodes: int, build: Callable[[int], int]) -> float:
    with ExitStack() as life:
        return _Graph(backend, n_nodes, build, life).seconds()


def _chain(context: int, n_matrices: int, n_columns: int) -> int:
    """Each product is the next one's input, as in a model."""
    library = base()
    x: int = library.ggml_new_tensor_2d(context, TYPES["f32"], WIDTH, n_columns)
    for _ in range(n_matrices):
        matrix: int = library.ggml_new_tensor_2d(context, TYPES["q4_K"], WIDTH, WIDTH)
        x = library.ggml_mul_mat(context, matrix, x)
    return x


def _small_operations(context: int) -> int:
    library = base()
    x: int = library.ggml_new_tensor_2d(context, TYPES["f32"], WIDTH, 1)
    for _ in range(_N_SMALL):
        x = library.ggml_scale(context, x, 0.5)
    return x


def _upload(backend: int) -> float:
    """Bytes a second from memory as a model file's is: not pinned."""
    library, data = base(), bytes(_UPLOAD_BYTES)
    with ExitStack() as life:
        context: int = library.ggml_init(InitParams(library.ggml_tensor_overhead() * 2, None, True))
        life.callback(library.ggml_free, context)
        tensor: int = library.ggml_new_tensor_2d(context, TYPES["f32"], WIDTH, _UPLOAD_BYTES // 4 // WIDTH)
        buffer: int | None = library.ggml_backend_alloc_ctx_tensors(context, backend)
        if not buffer:
            raise MemoryError
        life.callback(library.ggml_backend_buffer_free, buffer)
        times = []
        for _ in range(3):
            started_s = time.perf_counter()
            library.ggml_backend_tensor_set(tensor, data, 0, _UPLOAD_BYTES)
            library.ggml_backend_synchronize(backend)
            times.append(time.perf_counter() - started_s)
    return _UPLOAD_BYTES / min(times)


def _set_threads(handle: Handle, backend: int, n_threads: int) -> None:
    """By the function that the device's registry knows for it; GPUs have none."""
    library = base()
    register = library.ggml_backend_dev_backend_reg(handle.address)
    address = library.ggml_backend_reg_get_proc_address(register, b"ggml_backend_set_n_threads")
    if address:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)(address)(backend, n_threads)


def usual_threads() -> int:
    """One for each physical core that this process may use, as a worker takes."""
    n_allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(n_allowed, psutil.cpu_count(logical=False) or n_allowed))


def measure_all() -> dict[str, Speed]:
    """Of every device that can be measured, by its name."""
    n_threads = usual_threads()
    here = [handle for handle in handles() if handle.backend != "RPC"]  # what is elsewhere is as fast as its network
    found = {handle.name: measure(handle, n_threads) for handle in here}
    return {name: speed for name, speed in found.items() if speed is not None}


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measure_all()))
