from __future__ import annotations

from pathlib import Path

import pytest

from app.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.below(tmp_path / "home")
    paths.ensure()
    return paths


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder
