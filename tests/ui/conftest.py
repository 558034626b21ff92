"""Every test of the window sees the light theme first, whatever the machine's own is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.settings import Theme
from tests.ui.transcript_double import FakeTranscript
from tests.ui.world import World
from ui.theme import theme


@pytest.fixture(scope="session")
def _installed(qapp: object) -> None:
    theme.install(Theme.LIGHT)


@pytest.fixture(autouse=True)
def _light(_installed: None) -> None:
    theme.choose(Theme.LIGHT)


@pytest.fixture
def world(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A window on real services, a scripted engine, and a transcript that only remembers. Not shown yet."""
    _simplify(monkeypatch)
    made = World(qtbot, tmp_path)
    yield made
    made.close()
