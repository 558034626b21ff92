"""Ollama's store (docs/faq.mdx and manifest/ in its repository).

``manifests/<host>/<namespace>/<model>/<tag>`` is JSON as in a container registry; each layer has a media type and a
digest, and lies in ``blobs/sha256-<hex>``. Newer versions keep the same JSON as a blob, linked from ``manifests-v2``.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from app.library.elsewhere.found import FoundModel, Surroundings, small_file
from app.library.types import App, Origin

_HOSTS_LEFT_OUT = ("registry.ollama.ai", "ollama.com")
_MODEL, _PROJECTOR = "application/vnd.ollama.image.model", "application/vnd.ollama.image.projector"
_ADAPTER = "application/vnd.ollama.image.adapter"
_DIGEST = re.compile(r"sha256[:-](?P<hex>[0-9a-fA-F]{64})")
_MOST_MANIFESTS = 10_000


class _Layer(msgspec.Struct, rename="camel"):
    media_type: str = ""
    digest: str = ""


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


class Ollama:
    app = App.OLLAMA

    def folders(self, around: Surroundings) -> list[Path]:
        """Its user's own, or that of the system's service."""
        home = around.variable("OLLAMA_HOME") or around.home / ".ollama"
        chosen = around.variable("OLLAMA_MODELS")
        usual = [home / "models", Path("/usr/share/ollama/.ollama/models"), Path("/var/lib/ollama/models")]
        return [chosen, *usual] if chosen is not None else usual

    def models(self, folder: Path) -> list[FoundModel]:
        found: dict[str, FoundModel] = {}
        for root in (folder / "manifests-v2", folder / "manifests"):
            for path in _manifests(root):
                model = _model(folder, path.relative_to(root).parts, path)
                if model is not None:
                    found.setdefault(model.name, model)
        return [found[name] for name in sorted(found)]


def _manifests(root: Path) -> list[Path]:
    try:
        paths = [path for path in root.glob("*/*/*/*") if not path.name.startswith(".") and path.is_file()]
    except OSError:
        return []
    return sorted(paths)[:_MOST_MANIFESTS]


def _model(folder: Path, place: tuple[str, ...], manifest: Path) -> FoundModel | None:
    try:
        layers = msgspec.json.decode(small_file(manifest), type=_Manifest).layers
    except (ValueError, RecursionError):
        return None
    weights = _blobs(folder, layers, _MODEL)
    if not weights:
        return None
    companions = (*_blobs(folder, layers, _PROJECTOR), *_blobs(folder, layers, _ADAPTER))
    sha256 = weights[0].name.removeprefix("sha256-")
    origin = Origin(repo_id=_name(place).rpartition(":")[0], sha256=sha256, endpoint=f"https://{place[0]}")
    return FoundModel(_name(place), weights[0], companions, origin)


def _blobs(folder: Path, layers: list[_Layer], media_type: str) -> tuple[Path, ...]:
    digests = (_DIGEST.fullmatch(layer.digest) for layer in layers if layer.media_type == media_type)
    return tuple(folder / "blobs" / f"sha256-{digest['hex'].lower()}" for digest in digests if digest is not None)


def _name(place: tuple[str, ...]) -> str:
    """``llama3.2:3b``, or with what is not the usual registry and namespace in front."""
    host, namespace, model, tag = place
    words = [model] if namespace == "library" else [namespace, model]
    if host not in _HOSTS_LEFT_OUT:
        words.insert(0, host)
        if namespace == "library":
            words.insert(1, namespace)
    return f"{'/'.join(words)}:{tag}"
