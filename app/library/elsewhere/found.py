"""What a finder finds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.library.types import App, Origin

MAX_SMALL_FILE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class FoundModel:
    """``name`` is what the app calls it; ``path`` is where its file is or should be. ``companions`` are its projectors
    and adapters, where the app says which."""

    name: str
    path: Path
    companions: tuple[Path, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where apps look for their own folders."""

    home: Path = field(default_factory=Path.home)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    platform: str = sys.platform

    def variable(self, name: str) -> Path | None:
        value = self.environ.get(name, "").strip().strip("\"'")
        return Path(value).expanduser() if value else None


class Finder(Protocol):
    """One app. Thread: any; both block on the disk, and raise nothing for what is damaged there."""

    @property
    def app(self) -> App: ...

    def folders(self, around: Surroundings) -> list[Path]:
        """Where its models may lie, the likeliest first; they need not exist."""

    def models(self, folder: Path) -> list[FoundModel]:
        """By name."""


def small_file(path: Path) -> bytes:
    """What a file of some kilobytes says; nothing where it cannot be read or is too large to be one."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SMALL_FILE_BYTES + 1)
    except (OSError, ValueError):
        return b""
    return data if len(data) <= MAX_SMALL_FILE_BYTES else b""


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder."""
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError:
        return []


def first_existing(folders: list[Path]) -> Path | None:
    return next((folder for folder in folders if folder.is_dir()), None)
