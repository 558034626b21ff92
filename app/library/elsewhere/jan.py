"""Jan's data folder (its llama.cpp extension and its file-based documentation).

Now: ``llamacpp/models/<id>/model.yml`` with ``model_path`` and ``mmproj_path``, absolute or below the data folder.
Before: ``models/<id>/model.yml`` with ``files``. First: ``models/<id>/model.json`` with the file's name in ``sources``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.library.elsewhere.found import FoundModel, Surroundings, small_file
from app.library.scan import files_of, find_models
from app.library.types import App

_LINE = re.compile(r"(?P<key>[A-Za-z_]+)\s*:\s*(?P<value>.*)")
_ITEM = re.compile(r"\s*-\s+(?P<value>.+)")
_MOST_MODELS = 10_000


class _Source(msgspec.Struct):
    filename: str = ""


class _ModelJson(msgspec.Struct):
    name: str = ""
    sources: list[_Source] = []


class Jan:
    app = App.JAN

    def folders(self, around: Surroundings) -> list[Path]:
        """Data folders. The desktop app keeps the user's choice in ``settings.json`` beside its usual one."""
        bases = _bases(around)
        chosen = [folder for base in bases if (folder := _chosen_folder(base)) is not None]
        return [*chosen, *(base / "data" for base in bases), around.home / "jan"]

    def models(self, folder: Path) -> list[FoundModel]:
        found: dict[Path, FoundModel] = {}
        for root in (folder / "llamacpp" / "models", folder / "models"):
            for model in _described(root, folder):
                found.setdefault(model.path, model)
            for files in find_models(root):
                if not any(files.path in (known.path, *known.companions) for known in found.values()):
                    found[files.path] = FoundModel("", files.path)
        return sorted(found.values(), key=lambda model: (model.name, model.path))


def _bases(around: Surroundings) -> list[Path]:
    home = around.home
    if around.platform == "win32":
        return [(around.variable("APPDATA") or home / "AppData" / "Roaming") / "Jan"]
    if around.platform == "darwin":
        return [home / "Library" / "Application Support" / "Jan"]
    data = around.variable("XDG_DATA_HOME") or home / ".local" / "share"
    config = around.variable("XDG_CONFIG_HOME") or home / ".config"
    return [data / "Jan", config / "Jan"]


def _chosen_folder(base: Path) -> Path | None:
    try:
        settings = msgspec.json.decode(small_file(base / "settings.json"))
    except (ValueError, RecursionError):
        return None
    chosen = settings.get("data_folder") if isinstance(settings, dict) else None
    return Path(chosen) if isinstance(chosen, str) and chosen else None


def _described(root: Path, data: Path) -> Iterator[FoundModel]:
    """A model's id is the path of its folder."""
    for path in _descriptions(root):
        model_id = path.parent.relative_to(root).as_posix() if path.parent != root else path.stem
        fields, items = _read(path)
        name = fields.get("name") or model_id
        places = [value for value in (fields.get("model_path"), *items) if value]
        if places:
            projector = fields.get("mmproj_path")
            companions = (_place(projector, data, path.parent),) if projector else ()
            yield FoundModel(name, files_of(_place(places[0], data, path.parent)).path, companions)


def _descriptions(root: Path) -> list[Path]:
    try:
        found = [path for pattern in ("model.yml", "model.json") for path in root.rglob(pattern)]
        found += [path for path in root.glob("*.yml") if path.name != "model.yml"]
    except OSError:
        return []
    return sorted(found)[:_MOST_MODELS]


def _place(written: str, data: Path, beside: Path) -> Path:
    """Absolute, below the data folder, or beside the description."""
    path = Path(written)
    if path.is_absolute():
        return path
    return data / path if (data / path).exists() or len(path.parts) > 1 else beside / path


def _read(path: Path) -> tuple[dict[str, str], list[str]]:
    """The texts at the top level, and the items of ``files`` or the names in ``sources``."""
    if path.suffix == ".json":
        try:
            described = msgspec.json.decode(small_file(path), type=_ModelJson)
        except (ValueError, RecursionError):
            return {}, []
        return {"name": described.name}, [source.filename for source in described.sources]
    return _read_yaml(small_file(path).decode(errors="replace"))


def _read_yaml(text: str) -> tuple[dict[str, str], list[str]]:
    """As much of YAML as Jan writes: one text a line, and lists of texts."""
    fields: dict[str, str] = {}
    items: list[str] = []
    key = ""
    for line in text.splitlines():
        if (found := _LINE.fullmatch(line.rstrip())) is not None:
            key = found["key"]
            fields.setdefault(key, _plain(found["value"]))
        elif key == "files" and (item := _ITEM.fullmatch(line.rstrip())) is not None:
            items.append(_plain(item["value"]))
    return fields, items


def _plain(value: str) -> str:
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    return value.split(" #")[0].strip()
