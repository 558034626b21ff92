"""The facts behind ``doctor``, and what follows from them. Nothing here changes anything or reaches the network."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import msgspec
import psutil

from app.cli.gains import Hardware, gains
from app.library.starter import STARTER_FILE_NAME
from app.paths import Paths
from engine.backend.devices import EngineBuild, probe_engine
from engine.client.process import worker_environment
from engine.errors import ErrorInfo, KnownError

_PACKAGES = ("PySide6_Essentials", "llama_cpp_python", "msgspec", "numpy", "jinja2", "markdown-it-py", "ziamath")
_LOW_DISK_BYTES = 1_000_000_000
_LOW_MEMORY_BYTES = 1_000_000_000
_X86_FEATURES = ("sse4_2", "avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16")
_AMX_FEATURES = ("amx_tile", "amx_int8", "amx_bf16")
_ARM_FEATURES = ("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2")
_CPU_FEATURES = frozenset((*_X86_FEATURES, *_AMX_FEATURES, *_ARM_FEATURES))
_ENGINE_NAMES = {"avx2": "AVX2", "fma": "FMA", "avx512_vnni": "AVX512_VNNI", "asimddp": "DOTPROD"}
"""Features of processors, and the names under which the engine says that it was compiled for them."""

_WINDOW_CHECK = "from PySide6.QtWidgets import QApplication; QApplication([])"
_WINDOW_TIMEOUT_S = 30.0


class Cpu(msgspec.Struct, frozen=True):
    """``features`` are those that matter here, by the names the system gives them."""

    name: str
    n_cores: int
    n_threads: int
    features: tuple[str, ...]


class Memory(msgspec.Struct, frozen=True):
    total_bytes: int
    available_bytes: int


class Folder(msgspec.Struct, frozen=True):
    """``free_bytes`` is what its disk has left. A folder that is not there yet counts as its nearest parent."""

    name: str
    path: str
    is_writable: bool
    free_bytes: int


class Report(msgspec.Struct, frozen=True):
    """What ``doctor --json`` prints; fields may be added, and keep their meaning."""

    system: str
    cpu: Cpu
    memory: Memory
    engine: EngineBuild | None
    versions: dict[str, str]
    folders: tuple[Folder, ...]
    starter_model: str | None
    display: str | None
    problems: tuple[ErrorInfo, ...]
    gains: tuple[str, ...] = ()
    """What would make it faster."""


def examine(paths: Paths, version: str, environ: Mapping[str, str]) -> Report:
    """Blocks for about a second: the engine and the window are tried in processes of their own."""
    cpu, memory = _cpu(), _memory()
    engine, engine_problems = _engine(cpu, environ)
    folders = tuple(_folder(name, getattr(paths, name)) for name in ("data", "config", "cache", "logs", "models"))
    starter = paths.models / STARTER_FILE_NAME
    return Report(
        system=f"{_system_name()}, {platform.machine()}",
        cpu=cpu,
        memory=memory,
        engine=engine,
        versions={"Hearth": version, "Python": platform.python_version(), **_package_versions()},
        folders=folders,
        starter_model=str(starter) if starter.is_file() else None,
        display=_display(environ),
        problems=(
            *engine_problems,
            *_window_problems(environ),
            *_memory_problems(memory),
            *(problem for folder in folders for problem in _folder_problems(folder)),
            *_starter_problems(starter),
        ),
        gains=gains(engine, Hardware.of_this_machine(environ)),
    )


def _problem(text: str, hint: str, detail: str = "") -> ErrorInfo:
    return ErrorInfo("KnownError", text, hint, detail)


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _cpu() -> Cpu:
    facts = _cpu_facts()
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    n_threads = psutil.cpu_count() or 1
    return Cpu(
        name=facts.get("model name", "") or platform.processor() or platform.machine(),
        n_cores=psutil.cpu_count(logical=False) or n_threads,
        n_threads=n_threads,
        features=tuple(sorted(flags & _CPU_FEATURES)),
    )


def _cpu_facts() -> dict[str, str]:
    """The first processor's entry in Linux' /proc/cpuinfo; elsewhere nothing."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _memory() -> Memory:
    memory = psutil.virtual_memory()
    return Memory(memory.total, memory.available)


def _memory_problems(memory: Memory) -> list[ErrorInfo]:
    if memory.available_bytes >= _LOW_MEMORY_BYTES:
        return []
    return [_problem("Less than 1 GB of memory is available.", "Close other programs before you load a model.")]


def _engine(cpu: Cpu, environ: Mapping[str, str]) -> tuple[EngineBuild | None, list[ErrorInfo]]:
    try:
        engine = probe_engine(worker_environment(environ))
    except KnownError as error:
        return None, [ErrorInfo.of(error)]
    return engine, _build_problems(cpu, engine)


def _build_problems(cpu: Cpu, engine: EngineBuild) -> list[ErrorInfo]:
    """The engine is compiled for the processor it was installed on; a disk or a container may have moved since."""
    known = [(flag, name) for flag, name in _ENGINE_NAMES.items() if cpu.features]
    missing = [name for flag, name in known if name in engine.features and flag not in cpu.features]
    unused = [name for flag, name in known if name not in engine.features and flag in cpu.features]
    hint = "Remove the folder .venv and start again; the engine is compiled anew."
    if missing:
        return [_problem(f"The engine was compiled for another processor: this one has no {', '.join(missing)}.", hint)]
    if unused:
        return [_problem(f"The engine is slower than it could be: it does not use {', '.join(unused)}.", hint)]
    return []


def _package_versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _folder(name: str, path: Path) -> Folder:
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    is_writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Folder(name, str(path), is_writable, shutil.disk_usage(there).free)


def _folder_problems(folder: Folder) -> list[ErrorInfo]:
    if not folder.is_writable:
        return [_problem(f"Hearth cannot write to {folder.path}.", "Check who owns it, or set HEARTH_HOME.")]
    if folder.free_bytes < _LOW_DISK_BYTES:
        return [_problem(f"The disk of {folder.path} has less than 1 GB left.", "Free some space, or set HEARTH_HOME.")]
    return []


def _starter_problems(starter: Path) -> list[ErrorInfo]:
    if starter.is_file():
        return []
    return [_problem(f"The starter model is not in {starter.parent}.", "Put any GGUF file there, or add one.")]


def _display(environ: Mapping[str, str]) -> str | None:
    """Where a window would appear; None on a Linux without X11 and Wayland."""
    if sys.platform != "linux":
        return sys.platform
    names = ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY", "DISPLAY")
    found = [f"{name}={environ[name]}" for name in names if environ.get(name)]
    return " ".join(found) or None


def _window_problems(environ: Mapping[str, str]) -> list[ErrorInfo]:
    """Start an empty Qt application: it fails where one of its many system libraries is missing."""
    platform_name = {} if _display(environ) else {"QT_QPA_PLATFORM": "offscreen"}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _WINDOW_CHECK],
            env={**environ, **platform_name},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_WINDOW_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [_problem("Qt does not start: it does not answer.", "Check whether the display can be reached.")]
    if done.returncode == 0:
        return []
    return [
        _problem(
            f"The window cannot open: {_reason(done.stderr)}",
            "Install the packages listed in packaging/system-packages.txt, or use the terminal chat.",
            done.stderr,
        )
    ]


def _reason(stderr: str) -> str:
    """The line that says most: the last one of a Python traceback, else the first one that Qt printed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if not lines:
        return "Qt ended without a word."
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]
