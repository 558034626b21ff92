"""From what the hub answers to values. Everything in it is a stranger's word: any field may be anything or missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.hub.card import licence_of
from app.hub.types import Convertible, Gated, Licence, RemoteFile, RepoSummary
from engine.gguf.facts import KNOWN_ARCHITECTURES
from resources import convertible_architectures

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

MAX_FILE_BYTES = 1 << 44
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_WORD_CHARS = 120


def summary_of(info: ModelInfo) -> RepoSummary:
    tags = [str(tag) for tag in info.tags or ()]
    gguf = info.gguf if isinstance(info.gguf, dict) else {}
    classes = _classes(info)
    return RepoSummary(
        id=str(info.id),
        n_downloads=_count(info.downloads) or 0,
        n_likes=_count(info.likes) or 0,
        updated_s=info.last_modified.timestamp() if isinstance(info.last_modified, datetime) else None,
        task=_word(info.pipeline_tag),
        gated=_gated(info.gated),
        is_private=bool(info.private),
        has_gguf="gguf" in tags or bool(gguf),
        is_convertible="safetensors" in tags and "gguf" not in tags and _is_convertible(classes),
        n_params=_count(gguf.get("total")) or _count(getattr(info.safetensors, "total", None)),
        architecture=_word(gguf.get("architecture")) or (classes[0] if classes else None),
        n_ctx_train=_count(gguf.get("context_length")),
        licence=_tagged(tags, "license:"),
        base_model=_base_model(tags),
    )


def is_runnable(summary: RepoSummary) -> bool:
    """Whether this build can load what is there, as far as the hub knows what it is."""
    return summary.has_gguf and (summary.architecture is None or summary.architecture in KNOWN_ARCHITECTURES)


def files_of(info: ModelInfo) -> list[RemoteFile]:
    """Those whose size is told."""
    files = []
    for sibling in info.siblings or ():
        size = _count(getattr(sibling.lfs, "size", None)) or _count(sibling.size) or 0
        sha256 = getattr(sibling.lfs, "sha256", None)
        usable = isinstance(sha256, str) and _SHA256.fullmatch(sha256)
        if size <= MAX_FILE_BYTES:
            files.append(RemoteFile(str(sibling.rfilename), size, sha256 if usable else None))
    return files


def convertible_of(info: ModelInfo, files: Iterable[RemoteFile]) -> Convertible | None:
    weights = [file for file in files if file.path.endswith(".safetensors") and "/" not in file.path]
    classes = _classes(info)
    if not weights or not _is_convertible(classes):
        return None
    return Convertible(sum(file.size_bytes for file in weights), len(weights), classes[0])


def licence_in(info: ModelInfo) -> Licence | None:
    card: Mapping[str, Any] = dict(vars(info.card_data)) if info.card_data is not None else {}
    told = _word(card.get("license")) or _tagged([str(tag) for tag in info.tags or ()], "license:")
    return licence_of(told, _word(card.get("license_name")), _word(card.get("license_link")))


def _classes(info: ModelInfo) -> list[str]:
    """The names of the model's classes in transformers."""
    config = info.config if isinstance(info.config, dict) else {}
    names = config.get("architectures")
    return [name for name in names if isinstance(name, str)][:4] if isinstance(names, list) else []


def _is_convertible(classes: Sequence[str]) -> bool:
    return any(name in convertible_architectures() for name in classes)


def _gated(value: object) -> Gated:
    if value in ("auto", "manual"):
        return Gated(str(value))
    return Gated.MANUAL if value else Gated.NO


def _base_model(tags: Sequence[str]) -> str | None:
    """The plain one; the hub repeats it with how it was made from it."""
    names = [tag.removeprefix("base_model:") for tag in tags if tag.startswith("base_model:")]
    plain = [name for name in names if name.count(":") == 0]
    return plain[0][:_MAX_WORD_CHARS] if plain else None


def _tagged(tags: Sequence[str], prefix: str) -> str | None:
    return next((tag.removeprefix(prefix)[:_MAX_WORD_CHARS] for tag in tags if tag.startswith(prefix)), None)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else None


def _word(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return " ".join("".join(letter if letter.isprintable() else " " for letter in value).split())[:500] or None
