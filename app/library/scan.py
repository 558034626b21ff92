"""Which files belong to which model. Large models come in parts: ``name-00001-of-00003.gguf``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".gguf"

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


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
    if part is None or int(part["count"]) < 1:
        return ModelFiles(path, path.name.removesuffix(path.suffix), (path,))
    count = part["count"]
    names = (f"{part['stem']}-{number:05d}-of-{count}{path.suffix}" for number in range(1, int(count) + 1))
    paths = [path.with_name(name) for name in names]
    parts = tuple(candidate for candidate in paths if candidate.is_file())
    missing = tuple(candidate for candidate in paths if candidate not in parts)
    return ModelFiles(paths[0], part["stem"], parts, missing)


def find_models(folder: Path) -> list[ModelFiles]:
    """Every model in a folder and the folders in it, by path. Hidden ones are left out, and folders that cannot be
    read."""
    models = {files.path: files for files in map(files_of, _gguf_files(folder))}
    return [models[path] for path in sorted(models)]


def _gguf_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(SUFFIX) and not name.startswith("."):
                yield Path(parent, name)
