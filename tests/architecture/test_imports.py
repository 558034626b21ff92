"""Who may import whom. The layers stand in pyproject.toml; what they cannot say stands here."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "app", "ui", "resources")
UNSAFE = frozenset({"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "diskcache"})
"""They run code that the data names, and what Hearth reads comes from strangers."""


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, also through importlib.import_module("...")."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
                yield module


def importers_of(modules: frozenset[str]) -> set[str]:
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {
        path.relative_to(ROOT).as_posix()
        for path in files
        if any(name.partition(".")[0] in modules for name in imports_of(path))
    }


def test_the_layers_hold() -> None:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_backend_imports_llama_cpp() -> None:
    importers = importers_of(frozenset({"llama_cpp"}))
    assert importers
    assert all(path.startswith("engine/backend/") for path in importers), importers


def test_only_the_window_imports_qt() -> None:
    importers = importers_of(frozenset({"PySide6", "shiboken6"}))
    assert all(path.startswith("ui/") for path in importers), importers


def test_nothing_reads_data_that_can_run_code() -> None:
    assert importers_of(UNSAFE) == set()
