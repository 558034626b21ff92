"""ggml's own C API by ctypes: its registry of devices, and small graphs to measure them with.

libggml knows which devices there are, libggml-base what they are and how a graph is built. Both are the ones that
llama.cpp has loaded. Functions are declared in ggml.h, ggml-alloc.h and ggml-backend.h.
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import POINTER, c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint8, c_void_p
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.backend.bindings import library_folder, load_ggml_base
from engine.backend.host import host_memory

_GGML_NAMES = ("libggml.so.0", "libggml.0.dylib", "libggml.dylib", "ggml.dll")

TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q4_K": 12, "bf16": 30}
"""``enum ggml_type``, ggml.h."""


class DeviceKind(StrEnum):
    """``enum ggml_backend_dev_type`` of ggml-backend.h, in its order."""

    CPU = "cpu"
    GPU = "gpu"
    INTEGRATED_GPU = "integrated_gpu"
    ACCELERATOR = "accelerator"
    META = "meta"


class InitParams(ctypes.Structure):
    """``struct ggml_init_params``"""

    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


_BASE_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ggml_commit": (c_char_p, []),
    "ggml_backend_dev_name": (c_char_p, [c_void_p]),
    "ggml_backend_dev_description": (c_char_p, [c_void_p]),
    "ggml_backend_dev_type": (c_int, [c_void_p]),
    "ggml_backend_dev_memory": (None, [c_void_p, POINTER(c_size_t), POINTER(c_size_t)]),
    "ggml_backend_dev_backend_reg": (c_void_p, [c_void_p]),
    "ggml_backend_dev_buffer_type": (c_void_p, [c_void_p]),
    "ggml_backend_dev_host_buffer_type": (c_void_p, [c_void_p]),
    "ggml_backend_dev_init": (c_void_p, [c_void_p, c_char_p]),
    "ggml_backend_reg_name": (c_char_p, [c_void_p]),
    "ggml_backend_reg_get_proc_address": (c_void_p, [c_void_p, c_char_p]),
    "ggml_backend_free": (None, [c_void_p]),
    "ggml_backend_buft_name": (c_char_p, [c_void_p]),
    "ggml_backend_buft_alloc_buffer": (c_void_p, [c_void_p, c_size_t]),
    "ggml_backend_buffer_get_base": (c_void_p, [c_void_p]),
    "ggml_backend_buffer_clear": (None, [c_void_p, c_uint8]),
    "ggml_backend_buffer_free": (None, [c_void_p]),
    "ggml_backend_alloc_ctx_tensors": (c_void_p, [c_void_p, c_void_p]),
    "ggml_backend_tensor_set": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_graph_compute": (c_int, [c_void_p, c_void_p]),
    "ggml_backend_synchronize": (None, [c_void_p]),
    "ggml_init": (c_void_p, [InitParams]),
    "ggml_free": (None, [c_void_p]),
    "ggml_new_tensor_2d": (c_void_p, [c_void_p, c_int, c_int64, c_int64]),
    "ggml_mul_mat": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "ggml_scale": (c_void_p, [c_void_p, c_void_p, ctypes.c_float]),
    "ggml_new_graph_custom": (c_void_p, [c_void_p, c_size_t, c_bool]),
    "ggml_build_forward_expand": (None, [c_void_p, c_void_p]),
    "ggml_nbytes": (c_size_t, [c_void_p]),
    "ggml_tensor_overhead": (c_size_t, []),
    "ggml_graph_overhead_custom": (c_size_t, [c_size_t, c_bool]),
}
_REGISTRY_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ggml_backend_dev_count": (c_size_t, []),
    "ggml_backend_dev_get": (c_void_p, [c_size_t]),
}


@dataclass(frozen=True, slots=True)
class Handle:
    """A device in the registry. ``address`` is llama.cpp's ``ggml_backend_dev_t``, valid as long as the process."""

    index: int
    address: int
    name: str
    description: str
    kind: DeviceKind
    backend: str

    def memory(self) -> tuple[int, int]:
        """Free and total bytes, as the device says now; of the machine's memory, as the system says. Thread: any."""
        if not self.is_gpu:
            return host_memory()
        free, total = c_size_t(), c_size_t()
        base().ggml_backend_dev_memory(self.address, ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    @property
    def is_gpu(self) -> bool:
        return self.kind in (DeviceKind.GPU, DeviceKind.INTEGRATED_GPU)

    @property
    def buffer_type(self) -> int:
        address: int = base().ggml_backend_dev_buffer_type(self.address)
        return address

    @property
    def buffer_name(self) -> str:
        """What llama.cpp's log calls its memory."""
        name: bytes = base().ggml_backend_buft_name(self.buffer_type)
        return name.decode(errors="replace")


@functools.cache
def base() -> Any:
    """libggml-base, its functions declared. Raises OSError where it is missing."""
    library = load_ggml_base()
    if library is None:
        raise OSError("libggml-base is missing")
    return _declared(library, _BASE_FUNCTIONS)


@functools.cache
def registry() -> Any:
    """libggml. Raises OSError where it is missing."""
    folder = library_folder()
    path = next((folder / name for name in _GGML_NAMES if (folder / name).exists()), None)
    if path is None:
        raise OSError("libggml is missing")
    return _declared(ctypes.CDLL(str(path)), _REGISTRY_FUNCTIONS)


def handles() -> tuple[Handle, ...]:
    """Every device of the registry. The first call wakes the drivers up, for up to a second."""
    count: int = registry().ggml_backend_dev_count()
    return tuple(_handle(index, registry().ggml_backend_dev_get(index)) for index in range(count))


def by_name() -> dict[str, Handle]:
    return {handle.name: handle for handle in handles()}


def _declared(library: Any, functions: dict[str, tuple[Any, list[Any]]]) -> Any:
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _handle(index: int, address: int) -> Handle:
    library = base()
    return Handle(
        index=index,
        address=address,
        name=library.ggml_backend_dev_name(address).decode(errors="replace"),
        description=library.ggml_backend_dev_description(address).decode(errors="replace"),
        kind=tuple(DeviceKind)[library.ggml_backend_dev_type(address)],
        backend=library.ggml_backend_reg_name(library.ggml_backend_dev_backend_reg(address)).decode(errors="replace"),
    )
