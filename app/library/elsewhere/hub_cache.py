"""The cache that Hugging Face's libraries and llama.cpp share (huggingface.co/docs/hub/local-cache).

``models--<owner>--<name>/snapshots/<commit>/<file>`` links to ``blobs/<hash>``; ``refs/<branch>`` has a commit. A blob
of a large file is named by its SHA-256. Where links are not to be had, the snapshot holds the file itself.
"""

from __future__ import annotations

import re
from pathlib import Path

from app.library.elsewhere.found import FoundModel, Surroundings, small_file, subfolders
from app.library.scan import find_models
from app.library.types import App, Origin

_REPOSITORY = "models--"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class HubCache:
    app = App.HUB_CACHE

    def folders(self, around: Surroundings) -> list[Path]:
        chosen = around.variable("HF_HUB_CACHE") or around.variable("HUGGINGFACE_HUB_CACHE")
        home = around.variable("HF_HOME")
        cache = around.variable("XDG_CACHE_HOME") or around.home / ".cache"
        folders = [chosen, home / "hub" if home is not None else None, cache / "huggingface" / "hub"]
        return [folder for folder in folders if folder is not None]

    def models(self, folder: Path) -> list[FoundModel]:
        found = []
        for repository in subfolders(folder):
            if repository.name.startswith(_REPOSITORY):
                found += _models_of(repository)
        return found


def _models_of(repository: Path) -> list[FoundModel]:
    """Those of the newest snapshots; a file that older ones share with them is one model."""
    repo_id = repository.name.removeprefix(_REPOSITORY).replace("--", "/", 1)
    found: dict[Path, FoundModel] = {}
    for snapshot in _snapshots(repository):
        for files in find_models(snapshot):
            file = files.path.relative_to(snapshot).as_posix()
            origin = Origin(repo_id, snapshot.name, file, _sha256(files.path))
            found.setdefault(files.path.resolve(), FoundModel("", files.path, (), origin))
    return sorted(found.values(), key=lambda model: model.path.name)


def _snapshots(repository: Path) -> list[Path]:
    """That of the main branch first, then the others."""
    main = small_file(repository / "refs" / "main").decode(errors="replace").strip()
    return sorted(subfolders(repository / "snapshots"), key=lambda snapshot: snapshot.name != main)


def _sha256(path: Path) -> str | None:
    name = path.resolve().name
    return name if _SHA256.fullmatch(name) else None
