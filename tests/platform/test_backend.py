"""Which backend the engine is compiled for: a compiler alone is no GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NVCC = ("nvcc", "exit 0")
NVIDIA = ("nvidia-smi", 'echo "GPU 0: NVIDIA H200"')
NO_NVIDIA = ("nvidia-smi", 'echo "No devices were found" >&2; exit 6')
GLSLC = ("glslc", "exit 0")
LOADER = ("ldconfig", 'echo "libvulkan.so.1 (libc6,x86-64) => /usr/lib/libvulkan.so.1"')
NO_LOADER = ("ldconfig", "exit 0")
HEADERS = ("pkg-config", "exit 0")
TOOLS = ("cat", "grep", "ls", "sh")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="./run is for Linux so far")


class Machine:
    def __init__(self, folder: Path, *programs: tuple[str, str], has_render_node: bool = False) -> None:
        self.bin, self.dri = folder / "bin", folder / "dri"
        self.bin.mkdir()
        self.dri.mkdir()
        for name in TOOLS:
            found = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
            (self.bin / name).symlink_to(found)
        for name, body in programs:
            (self.bin / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            (self.bin / name).chmod(0o755)
        if has_render_node:
            (self.dri / "renderD128").touch()

    def says(self, commands: str, **environ: str) -> str:
        script = f'root={ROOT}; . "{ROOT}/packaging/setup.sh"; {commands}'
        environment = {"PATH": str(self.bin), "HEARTH_DRI": str(self.dri), "CUDA_HOME": "/nowhere", **environ}
        done = subprocess.run(["/bin/sh", "-euc", script], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.mark.parametrize(
    ("programs", "has_render_node", "backend"),
    [
        ((NVCC, NVIDIA), False, "cuda"),
        ((NVCC, NO_NVIDIA, NO_LOADER), False, "cpu"),
        ((NVIDIA, NO_LOADER), False, "cpu"),
        ((GLSLC, LOADER, HEADERS), True, "vulkan"),
        ((GLSLC, LOADER, HEADERS), False, "cpu"),
        ((LOADER, HEADERS), True, "cpu"),
        ((GLSLC, NO_LOADER, HEADERS), True, "cpu"),
        ((NVCC, NO_NVIDIA, GLSLC, LOADER, HEADERS), True, "vulkan"),
        ((NO_LOADER,), False, "cpu"),
    ],
)
def test_driver_device_and_tools_must_all_be_there(
    tmp_path: Path, programs: tuple[tuple[str, str], ...], has_render_node: bool, backend: str
) -> None:
    machine = Machine(tmp_path, *programs, has_render_node=has_render_node)
    assert machine.says("usable_backend") == backend


@pytest.mark.parametrize(
    ("named", "options"),
    [("cpu", "-DX=1"), ("vulkan", "-DGGML_VULKAN=ON -DX=1"), ("cuda", "-DGGML_CUDA=ON -DCMAKE_CUDA_COMPILER={} -DX=1")],
)
def test_a_backend_that_is_named_is_compiled_whatever_is_there(tmp_path: Path, named: str, options: str) -> None:
    machine = Machine(tmp_path, NVCC, NO_NVIDIA)
    said = machine.says(f'name_backend {named}; echo "$CMAKE_ARGS"', CMAKE_ARGS="-DX=1")
    assert said == options.format(machine.bin / "nvcc")


def test_another_backend_than_before_is_compiled_anew_and_the_same_one_is_not(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    options = tmp_path / "engine-options"
    options.write_text("-DGGML_VULKAN=ON\n", encoding="utf-8")
    check = f"share={tmp_path}; engine_options_hold && echo holds || echo differs"
    assert machine.says(check) == "holds"
    assert machine.says(f"name_backend vulkan; {check}") == "holds"
    assert machine.says(f"name_backend cpu; {check}") == "differs"


def test_a_backend_that_does_not_exist_is_wrong_usage() -> None:
    done = subprocess.run([ROOT / "run", "--backend", "abacus"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no backend abacus" in done.stderr
