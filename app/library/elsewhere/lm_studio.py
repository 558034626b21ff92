"""LM Studio's folder (lmstudio.ai/docs, "Import Models"): ``models/<publisher>/<model>/<file>.gguf``.

Its home is ``~/.lmstudio``, was ``~/.cache/lm-studio``, and is what ``~/.lmstudio-home-pointer`` says; the folder of
the models can be chosen, and then stands in its ``settings.json``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from app.library.elsewhere.found import FoundModel, Surroundings, small_file, subfolders
from app.library.scan import find_models
from app.library.types import App, Origin


class _Settings(msgspec.Struct, rename="camel"):
    downloads_folder: str = ""


class LmStudio:
    app = App.LM_STUDIO

    def folders(self, around: Surroundings) -> list[Path]:
        pointer = small_file(around.home / ".lmstudio-home-pointer").decode(errors="replace").strip()
        homes = [Path(pointer)] if pointer else []
        homes += [around.home / ".lmstudio", around.home / ".cache" / "lm-studio"]
        chosen = [folder for home in homes if (folder := _chosen_folder(home)) is not None]
        return [*chosen, *(home / "models" for home in homes)]

    def models(self, folder: Path) -> list[FoundModel]:
        found = []
        for publisher in subfolders(folder):
            for model in subfolders(publisher):
                origin = Origin(repo_id=f"{publisher.name}/{model.name}")
                found += [FoundModel("", files.path, (), origin) for files in find_models(model)]
        return found


def _chosen_folder(home: Path) -> Path | None:
    try:
        chosen = msgspec.json.decode(small_file(home / "settings.json"), type=_Settings).downloads_folder
    except (ValueError, RecursionError):
        return None
    return Path(chosen) if chosen else None
