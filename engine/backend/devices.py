"""What ggml can compute on, as its own registry tells: CUDA, Vulkan, Metal, ROCm, SYCL and the CPU alike.

Asked in a process of its own (``python -m engine.backend.devices`` prints JSON): a GPU's driver stays loaded once it
is asked, holds memory, and may crash.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Mapping
from enum import StrEnum
from importlib import metadata
from typing import Any

import msgspec

from engine.errors import EngineStopped

_GGML_NAMES = ("libggml.so.0", "libggml.0.dylib", "libggml.dylib", "ggml.dll")
_HINT = "Remove the folder .venv and start again; the engine is compiled anew."


class DeviceKind(StrEnum):
    """``enum ggml_backend_dev_type`` of ggml-backend.h, in its order."""

    CPU = "cpu"
    GPU = "gpu"
    INTEGRATED_GPU = "integrated_gpu"
    ACCELERATOR = "accelerator"
    META = "meta"


class Device(msgspec.Struct, frozen=True):
    """``free_bytes`` is what the device says it has left now; a CPU's is the machine's memory."""

    name: str
    description: str
    kind: DeviceKind
    free_bytes: int
    total_bytes: int


class EngineBuild(msgspec.Struct, frozen=True):
    """``features`` are the CPU instructions and options that the libraries were compiled with."""

    binding_version: str
    llama_version: str
    llama_commit: str
    features: tuple[str, ...]
    devices: tuple[Device, ...]


def probe_engine(environment: Mapping[str, str], timeout_s: float = 60.0) -> EngineBuild:
    """Ask a child process. Blocks, for about a second where a GPU wakes up. Raises EngineStopped if it fails."""
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(command, env=dict(environment), capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise EngineStopped(f"The engine did not tell its devices within {timeout_s:.0f} s.", _HINT) from error
    if done.returncode != 0:
        raise EngineStopped(f"The engine does not start ({_last_line(done.stderr)}).", _HINT)
    try:
        return msgspec.json.decode(done.stdout, type=EngineBuild)
    except msgspec.DecodeError as error:
        raise EngineStopped(f"The engine gave no list of its devices ({error}).", _HINT) from error


def read_engine() -> EngineBuild:
    """Ask in this process. Loads llama.cpp; raises OSError or ImportError where that fails."""
    from engine.backend.bindings import lib, library_folder, load_ggml_base

    base = load_ggml_base()
    registry = next(ctypes.CDLL(str(library_folder() / n)) for n in _GGML_NAMES if (library_folder() / n).exists())
    return EngineBuild(
        binding_version=metadata.version("llama_cpp_python"),
        llama_version=lib.llama_version().decode(),
        llama_commit=_commit(base),
        features=_features(lib.llama_print_system_info().decode()),
        devices=_devices(registry, base),
    )


def _commit(base: Any) -> str:
    base.ggml_commit.restype = ctypes.c_char_p
    commit: bytes = base.ggml_commit()
    return commit.decode()


def _features(system_info: str) -> tuple[str, ...]:
    """``CPU : AVX2 = 1 | FMA = 1 | `` gives AVX2 and FMA; a GPU's part of the line is told in the same way."""
    pairs = (item.rpartition(":")[2].partition("=") for item in system_info.split("|"))
    return tuple(name.strip() for name, _, value in pairs if value.strip() not in ("", "0"))


def _devices(registry: Any, base: Any) -> tuple[Device, ...]:
    """``registry`` knows which devices there are (libggml), ``base`` what they are (libggml-base)."""
    registry.ggml_backend_dev_count.restype = ctypes.c_size_t
    registry.ggml_backend_dev_get.restype = ctypes.c_void_p
    registry.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    for function in (base.ggml_backend_dev_name, base.ggml_backend_dev_description):
        function.restype = ctypes.c_char_p
        function.argtypes = [ctypes.c_void_p]
    base.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    base.ggml_backend_dev_memory.restype = None
    base.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p] + [ctypes.POINTER(ctypes.c_size_t)] * 2
    handles = [registry.ggml_backend_dev_get(i) for i in range(registry.ggml_backend_dev_count())]
    return tuple(_device(base, handle) for handle in handles)


def _device(base: Any, handle: int) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    base.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    kinds = tuple(DeviceKind)
    return Device(
        name=base.ggml_backend_dev_name(handle).decode(errors="replace"),
        description=base.ggml_backend_dev_description(handle).decode(errors="replace"),
        kind=kinds[base.ggml_backend_dev_type(handle)],
        free_bytes=free.value,
        total_bytes=total.value,
    )


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(read_engine()))
