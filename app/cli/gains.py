"""What of this machine the engine does not use, and what it takes to change that. For ``doctor``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.backend.devices import EngineBuild

_TIMEOUT_S = 10.0
_NVCC_ELSEWHERE = ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")
_GAIN = "a GPU usually answers five to twenty times as fast as the processor"


@dataclass(frozen=True, slots=True)
class Hardware:
    """``nvidia`` names cards whose driver works. ``has_render_node``: some GPU has a driver of the system's own."""

    nvidia: tuple[str, ...] = ()
    has_render_node: bool = False
    has_cuda_compiler: bool = False
    has_vulkan_tools: bool = False

    @classmethod
    def of_this_machine(cls, environ: Mapping[str, str]) -> Hardware:
        """Blocks for a moment: NVIDIA's driver is asked."""
        path = environ.get("PATH")
        has_compiler = shutil.which("nvcc", path=path) or any(Path(file).exists() for file in _NVCC_ELSEWHERE)
        return cls(
            nvidia=_nvidia_cards(path),
            has_render_node=any(Path("/dev/dri").glob("renderD*")),
            has_cuda_compiler=bool(has_compiler),
            has_vulkan_tools=bool(shutil.which("glslc", path=path)) and Path("/usr/include/vulkan/vulkan.h").exists(),
        )


def gains(engine: EngineBuild | None, hardware: Hardware) -> tuple[str, ...]:
    """Sentences; none where the engine uses what is there, or there is nothing more to use."""
    backends = {device.backend for device in engine.devices} if engine is not None else set()
    if hardware.nvidia and "CUDA" not in backends:
        cards = ", ".join(hardware.nvidia)
        if hardware.has_cuda_compiler:
            return (f"{cards} is not used: ./run --backend cuda compiles the engine for it; {_GAIN}.",)
        how = "install the CUDA toolkit (on Debian: nvidia-cuda-toolkit), then call ./run --backend cuda"
        return (f"{cards} is not used, because there is no CUDA compiler: {how}; {_GAIN}.",)
    if hardware.has_render_node and not backends - {"CPU", "BLAS"}:
        if hardware.has_vulkan_tools:
            return (f"A GPU is there and not used: ./run --backend vulkan compiles the engine for it; {_GAIN}.",)
        packages = "libvulkan-dev glslc mesa-vulkan-drivers"
        return (f"A GPU may be there: install {packages}, then call ./run --backend vulkan; {_GAIN}.",)
    return ()


def _nvidia_cards(path: str | None) -> tuple[str, ...]:
    program = shutil.which("nvidia-smi", path=path)
    if program is None:
        return ()
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(filter(None, map(str.strip, done.stdout.splitlines()))) if done.returncode == 0 else ()
