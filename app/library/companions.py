"""Which model a projector or an adapter belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.library.types import EntryState, ModelEntry
from engine.errors import ErrorInfo, ModelFileError
from engine.gguf.summary import FileKind, HeaderSummary


@dataclass(frozen=True, slots=True)
class Found:
    """A companion's file. ``owners`` are ids of models that it is known to belong to, and then to no others."""

    path: Path
    summary: HeaderSummary
    owners: frozenset[str]


def fitting(found: Found, entries: Iterable[ModelEntry]) -> list[str]:
    """The ids of the models that it belongs to."""
    usable = [entry for entry in entries if entry.state is EntryState.READY]
    if found.owners:
        return [entry.id for entry in usable if entry.id in found.owners]
    if found.summary.kind is FileKind.PROJECTOR:
        return [entry.id for entry in usable if _sees_by(found, entry)]
    candidates = [entry for entry in usable if can_adapt(found.summary, entry)]
    meant = [entry for entry in candidates if _is_meant(found, entry)]
    return [entry.id for entry in meant or candidates]


def can_adapt(adapter: HeaderSummary, entry: ModelEntry) -> bool:
    """By what llama.cpp checks: the architecture, and the shapes as far as a list knows them."""
    has_width = adapter.width in (0, entry.width)
    return adapter.architecture == entry.architecture and has_width and adapter.n_layers <= entry.n_layers


def orphan_problem(found: Found) -> ErrorInfo:
    summary = found.summary
    if summary.kind is FileKind.PROJECTOR:
        text = f"{found.path.name} is the part of a model that sees images or hears sound, and its model is not here."
        return ErrorInfo.of(ModelFileError(text, "Put it into the folder of its model."))
    base = summary.base_name or f"a {summary.architecture} model"
    text = f"{found.path.name} is an adapter (LoRA) for {base}, and no model that it fits is here."
    return ErrorInfo.of(ModelFileError(text, "Get its model; the adapter then stands with it."))


def _sees_by(projector: Found, entry: ModelEntry) -> bool:
    """They are published side by side, and what the one gives out is what the other takes in."""
    is_beside = projector.path.parent == entry.path.parent
    return is_beside and projector.summary.width in (0, entry.width)


def _is_meant(adapter: Found, entry: ModelEntry) -> bool:
    wanted = _plain(adapter.summary.base_name)
    is_named = bool(wanted) and (wanted == _plain(entry.base_name) or wanted in _plain(entry.name))
    return is_named or adapter.path.parent == entry.path.parent


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.casefold())
