from __future__ import annotations

import io
from pathlib import Path

import pytest

from app.cli import models
from app.cli.terminal import Terminal
from app.library import Library
from app.paths import Paths
from tests.doubles.gguf import make_tiny_gguf


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.below(tmp_path)
    paths.ensure()
    return paths


def listed(paths: Paths) -> tuple[str, str]:
    stdout, stderr = io.StringIO(), io.StringIO()
    assert models.run(Library(paths), Terminal(io.StringIO(), stdout, stderr)) == 0
    return stdout.getvalue(), stderr.getvalue()


def test_models_stand_in_columns(paths: Paths) -> None:
    make_tiny_gguf(paths.models / "tiny.gguf")
    head, row = listed(paths)[0].splitlines()
    assert head.split() == ["ID", "TYPE", "PARAMETERS", "SIZE", "CONTEXT", "FROM"]
    assert row.startswith("tiny ")
    assert row.index("4,096") == head.index("CONTEXT")


def test_a_file_that_cannot_be_used_is_listed_with_the_reason(paths: Paths) -> None:
    (paths.models / "notes.gguf").write_text("not a model", encoding="utf-8")
    (entry,) = Library(paths).entries()
    assert entry.problem
    stdout, _ = listed(paths)
    assert str(paths.models / "notes.gguf") in stdout
    assert entry.problem.text in stdout


def test_an_empty_library_says_so(paths: Paths) -> None:
    stdout, stderr = listed(paths)
    assert stdout == ""
    assert "no model" in stderr
