"""The locks: exact, hashed, and without an address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "packaging").glob("*.lock"))
PIN = re.compile(r"^([a-z0-9][a-z0-9-]*)(?:\[[\w,-]+\])?==([^\s;]+)")


def pins(lock: str) -> dict[str, set[str]]:
    """Package -> versions; several where they depend on the version of Python."""
    found: dict[str, set[str]] = {}
    for block in blocks(ROOT / "packaging" / lock):
        match = PIN.match(block)
        assert match, block.splitlines()[0]
        found.setdefault(match[1], set()).add(match[2])
    return found


def blocks(path: Path) -> list[str]:
    """One for each requirement: its line and the hashes below it."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.strip().startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_and_hashed(path: Path) -> None:
    for block in blocks(path):
        assert PIN.match(block), block
        assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text


def test_the_locks_hold_what_the_project_asks_for(project: dict[str, Any]) -> None:
    groups = project["dependency-groups"]
    assert names(project["project"]["dependencies"]) <= pins("requirements.lock").keys()
    assert names(groups["dev"]) <= pins("requirements-dev.lock").keys()
    assert names(groups["build"]) <= pins("requirements-build.lock").keys()
    assert names(groups["starter"]) == pins("starter-model.lock").keys()


def test_the_development_lock_changes_nothing_of_the_runtime() -> None:
    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name for name in runtime.keys() & development.keys() if runtime[name] != development[name]} == set()


def test_qt_stays_below_the_release_that_aborts() -> None:
    (version,) = pins("requirements.lock")["pyside6-essentials"]
    assert version.startswith("6.11.")
