"""Every test of the window sees the light theme first, whatever the machine's own is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.library import ModelEntry
from app.settings import Theme
from tests.ui.transcript_double import FakeTranscript
from tests.ui.world import World, make_entry
from ui.theme import theme


@pytest.fixture(scope="session")
def _installed(qapp: object) -> None:
    theme.install(Theme.LIGHT)


@pytest.fixture(autouse=True)
def _light(_installed: None) -> None:
    theme.choose(Theme.LIGHT)


@pytest.fixture
def make_world(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    """Makes a window on real services, a scripted engine, and a transcript that only remembers. Not shown yet.

    The arguments are the models of the library.
    """
    monkeypatch.setattr("ui.widgets.transcript.Transcript", FakeTranscript)
    monkeypatch.setattr("ui.widgets.transcript.preload", lambda: None)
    made: list[World] = []

    def make(*entries: ModelEntry) -> World:
        made.append(World(qtbot, tmp_path, *entries))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A window with one model in its library."""
    return make_world(make_entry())
