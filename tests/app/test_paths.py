from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from app.paths import Paths
from engine.errors import StorageError


def _all_of(paths: Paths) -> list[Path]:
    folders = [paths.data, paths.config, paths.cache, paths.logs, paths.models]
    return [*folders, paths.database, paths.settings_file, paths.library_file, paths.log_file, paths.crash_file]


def test_hearth_home_moves_everything_below_one_folder(tmp_path: Path) -> None:
    paths = Paths.from_environment({"HEARTH_HOME": str(tmp_path / "home")})
    assert all(path.is_relative_to(tmp_path / "home") for path in _all_of(paths))
    assert len(set(_all_of(paths))) == len(_all_of(paths))


@pytest.mark.parametrize("value", ["relative/home", "~/home"])
def test_hearth_home_becomes_an_absolute_path(value: str) -> None:
    assert Paths.from_environment({"HEARTH_HOME": value}).data.is_absolute()
    assert "~" not in str(Paths.from_environment({"HEARTH_HOME": value}).data)


@pytest.mark.parametrize("environ", [{}, {"HEARTH_HOME": ""}])
def test_without_hearth_home_the_platform_decides(environ: dict[str, str]) -> None:
    paths = Paths.from_environment(environ)
    assert all(path.is_absolute() for path in _all_of(paths))
    assert "hearth" in str(paths.data).lower()


def test_nothing_is_created_before_it_is_asked_for(tmp_path: Path) -> None:
    Paths.below(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_ensure_makes_folders_that_only_their_owner_can_read_and_can_be_repeated(tmp_path: Path) -> None:
    paths = Paths.below(tmp_path / "home")
    paths.ensure()
    paths.ensure()
    for folder in (paths.data, paths.config, paths.cache, paths.logs, paths.models):
        assert folder.is_dir()
        if os.name == "posix":
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_named_and_the_others_are_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "cache").write_text("in the way")
    paths = Paths.below(home)
    with pytest.raises(StorageError, match="cache"):
        paths.ensure()
    assert paths.models.is_dir()
