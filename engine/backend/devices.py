"""What ggml can compute on, as its own registry tells: CUDA, Vulkan, Metal, ROCm, SYCL and the CPU alike.

Asked in a process of its own (``python -m engine.backend.devices`` prints JSON): a GPU's driver stays loaded once it
is asked, holds memory, and may crash. What such a process reads as free is what a worker will find: both have paid
for the driver's own share by then.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import TypeVar

import msgspec

from engine.errors import EngineStopped

_HINT = "Remove the folder .venv and start again; the engine is compiled anew."
_TIMEOUT_S = 60.0

T = TypeVar("T")


class Device(msgspec.Struct, frozen=True):
    """``free_bytes`` is what the device says it has left now; a CPU's is the machine's memory.

    ``kind`` is one of ``ggml.DeviceKind``. ``index`` is its place in ggml's registry, and ``backend`` the registry's
    name of what drives it: CUDA, Vulkan, CPU.
    """

    name: str
    description: str
    kind: str
    free_bytes: int
    total_bytes: int
    index: int = 0
    backend: str = ""


class EngineBuild(msgspec.Struct, frozen=True):
    """``features`` are the CPU instructions and options that the libraries were compiled with."""

    binding_version: str
    llama_version: str
    llama_commit: str
    features: tuple[str, ...]
    devices: tuple[Device, ...]


def probe_engine(environment: Mapping[str, str], timeout_s: float = _TIMEOUT_S) -> EngineBuild:
    """Ask a child process. Blocks, for about a second where a GPU wakes up. Raises EngineStopped if it fails."""
    return ask_child(__name__, (), environment, EngineBuild, timeout_s)


def ask_child(
    module: str, arguments: tuple[str, ...], environment: Mapping[str, str], answer: type[T], timeout_s: float
) -> T:
    """Run one of this package's programs, which prints JSON. Blocks. Raises EngineStopped if it fails in any way."""
    command = [sys.executable, "-P", "-m", module, *arguments]
    try:
        done = subprocess.run(command, env=dict(environment), capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise EngineStopped(f"The engine did not tell its devices within {timeout_s:.0f} s.", _HINT) from error
    if done.returncode != 0:
        raise EngineStopped(f"The engine does not start ({_last_line(done.stderr)}).", _HINT)
    try:
        return msgspec.json.decode(done.stdout, type=answer)
    except msgspec.DecodeError as error:
        raise EngineStopped(f"The engine gave no list of its devices ({error}).", _HINT) from error


def read_engine() -> EngineBuild:
    """Ask in this process. Loads llama.cpp; raises OSError or ImportError where that fails."""
    from engine.backend.bindings import lib
    from engine.backend.ggml import base

    return EngineBuild(
        binding_version=_binding_version(),
        llama_version=lib.llama_version().decode(),
        llama_commit=base().ggml_commit().decode(),
        features=_features(lib.llama_print_system_info().decode()),
        devices=read_devices(),
    )


def _binding_version() -> str:
    """A copy of the package that was not installed does not tell."""
    try:
        return metadata.version("llama_cpp_python")
    except metadata.PackageNotFoundError:
        return "unknown"


def read_devices() -> tuple[Device, ...]:
    """Those of this process. Wakes the drivers up."""
    from engine.backend.ggml import handles

    devices = []
    for handle in handles():
        free_bytes, total_bytes = handle.memory()
        facts = (handle.name, handle.description, handle.kind.value, free_bytes, total_bytes)
        devices.append(Device(*facts, index=handle.index, backend=handle.backend))
    return tuple(devices)


def _features(system_info: str) -> tuple[str, ...]:
    """``CPU : AVX2 = 1 | FMA = 1 | `` gives AVX2 and FMA; a GPU's part of the line is told in the same way."""
    pairs = (item.rpartition(":")[2].partition("=") for item in system_info.split("|"))
    return tuple(name.strip() for name, _, value in pairs if value.strip() not in ("", "0"))


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(read_engine()))
