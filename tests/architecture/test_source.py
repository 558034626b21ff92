"""The tree as a reader finds it: short functions, small files, nothing of the machine on which it was written."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "app", "ui", "resources")
MAX_FUNCTION_LINES = 60
MEDIAN_FUNCTION_LINES = 10
MAX_CLASS_LINES = 400
MAX_FILE_LINES = 500
MAX_FILE_BYTES = 1_000_000
ADDRESSES = re.compile(
    r"/(home|Users)/(?!(user|me|someone)\b)\w+"
    r"|https?://[\w.-]*(pythonhosted|pypi|artifactory|nexus|jfrog|devpi|registry|mirror)[\w.-]*"
    r"|--(extra-)?index-url[ =]\S*://|--find-links[ =]/"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def nodes(kind: type[ast.AST] | tuple[type[ast.AST], ...]) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every class or function."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                assert isinstance(node, ast.ClassDef | Function)
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", _n_lines(node)


def _n_lines(node: ast.ClassDef | Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def repository_files() -> list[Path]:
    """What is tracked or would be; without git there is nothing to tell it from."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_functions_are_short() -> None:
    lengths = dict(nodes((ast.FunctionDef, ast.AsyncFunctionDef)))
    assert {name: n for name, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION_LINES


def test_classes_are_not_programs() -> None:
    assert {name: n for name, n in nodes(ast.ClassDef) if n >= MAX_CLASS_LINES} == {}


def test_files_have_one_subject() -> None:
    lengths = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n") for path in sources()}
    assert {name: n for name, n in lengths.items() if n >= MAX_FILE_LINES} == {}


def test_no_file_is_heavy() -> None:
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in repository_files()}
    assert {name: n for name, n in sizes.items() if n >= MAX_FILE_BYTES} == {}


def test_nothing_names_the_machine_it_was_written_on() -> None:
    found = []
    for path in repository_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        hits = [hit.group() for hit in ADDRESSES.finditer(text)] + [str(ROOT)] * (f"{ROOT}/" in text)
        found += [f"{path.relative_to(ROOT)}: {hit}" for hit in hits if path != Path(__file__)]
    assert found == []
