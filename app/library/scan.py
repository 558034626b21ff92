"""Which files belong to which model. Large models come in parts: ``name-00001-of-00003.gguf``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".gguf"

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_MOST_PARTS = 1024


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """``path`` is what is loaded: the file, or the first part, which may be among the missing ones."""

    path: Path
    stem: str
    parts: tuple[Path, ...]
    missing: tuple[Path, ...] = ()


def files_of(path: Path) -> ModelFiles:
    """The model that this file, or any part of it, belongs to. A file that is alone need not exist."""
    part = _PART.fullmatch(path.name)
    if part is None or not 1 <= int(part["count"]) <= _MOST_PARTS:
        return ModelFiles(path, path.name.removesuffix(path.suffix) if _is_gguf(path.name) else path.name, (path,))
    count = part["count"]
    names = (f"{part['stem']}-{number:05d}-of-{count}{path.suffix}" for number in range(1, int(count) + 1))
    paths = [path.with_name(name) for name in names]
    parts = tuple(candidate for candidate in paths if candidate.is_file())
    missing = tuple(candidate for candidate in paths if candidate not in parts)
    return ModelFiles(paths[0], part["stem"], parts, missing)


def find_models(folder: Path) -> list[ModelFiles]:
    """Every model in a folder and the folders in it, by path. Hidden ones are left out, and folders that cannot be
    read."""
    models: dict[Path, ModelFiles] = {}
    seen: set[Path] = set()
    for path in _gguf_files(folder):
        if path not in seen:
            files = files_of(path)
            models[files.path] = files
            seen.update(files.parts)
    return [models[path] for path in sorted(models)]


def _gguf_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if _is_gguf(name) and not name.startswith("."):
                yield Path(parent, name)


def _is_gguf(name: str) -> bool:
    return name.lower().endswith(SUFFIX)
