from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.doubles.checkout import Checkout

ROOT = Path(__file__).resolve().parents[2]
TOOLS = "awk cat cksum cp date grep ln mkdir mv readlink rm sed sh tail uname".split()  # noqa: SIM905 - one line


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, tools = tmp_path / "checkout", tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (tools / name).symlink_to(found)
    (root / ".ci").mkdir(parents=True)
    for name in ("run", "test", ".ci/run"):
        shutil.copy2(ROOT / name, root / name)
    shutil.copytree(ROOT / "packaging", root / "packaging")
    return Checkout(root, tools)
