"""Whether what llama.cpp wrote before it gave up says that memory ran out. Knows no llama.cpp."""

from __future__ import annotations

from collections.abc import Iterable

_SIGNS = (
    "failed to allocate",  # ggml-alloc.c, ggml-backend.cpp, llama-kv-cache.cpp
    "unable to allocate",  # llama-model.cpp
    "out of memory",  # CUDA and HIP
    "insufficient memory",  # Metal
    "outofdevicememory",  # Vulkan
    "outofhostmemory",
    "out_of_resources",  # SYCL and its drivers
    "out_of_device_memory",
    "bad_alloc",
)


def ran_out(lines: Iterable[str]) -> bool:
    """Of memory, of a device or of the machine."""
    return any(sign in line.lower() for line in lines for sign in _SIGNS)
