"""The models that are served, under the names that clients use."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.api.errors import ApiError
from app.library import ModelEntry
from engine.types import ModelInfo

ANY = "default"
"""What clients call whatever is loaded."""

_MAX_NAMED = 5
_MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ServedModel:
    """``id`` is what clients ask for; ``name`` and "default" will do too. ``created_s`` is the date of its file.

    The rest is what its file says, loaded or not; empty or 0 where it does not.
    """

    id: str
    name: str
    created_s: int
    size_bytes: int = 0
    architecture: str = ""
    quantization: str = ""
    n_params: int = 0
    n_ctx_train: int = 0

    def check_name(self, wanted: str | None) -> None:
        """Raises ApiError where a client asks for another model. Naming none is fine: there is one only."""
        if wanted not in (None, self.id, self.name, ANY):
            raise ApiError(
                404, "model_not_found", f"There is no model {wanted!r} here. There is {self.id!r}.", param="model"
            )

    def card(self, info: ModelInfo | None) -> dict[str, Any]:
        """``info`` None while it is not loaded."""
        card: dict[str, Any] = {
            "id": self.id,
            "object": "model",
            "created": self.created_s,
            "owned_by": "hearth",
        }
        if info is not None:
            card["meta"] = {
                "n_ctx": info.n_ctx,
                "n_ctx_train": info.n_ctx_train,
                "n_vocab": info.n_vocab,
                "n_params": info.n_params,
                "size": info.size_bytes,
            }
        return card


def served_model(entry: ModelEntry, created_s: int) -> ServedModel:
    """Where the id is the file's path, clients see its name alone."""
    return ServedModel(
        entry.path.stem if Path(entry.id).is_absolute() else entry.id,
        entry.name,
        created_s,
        entry.size_bytes,
        entry.architecture,
        entry.quantization,
        entry.n_params,
        entry.n_ctx_train,
    )


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models with what clients call them. Ids differ from each other, and so do names."""

    models: tuple[tuple[ServedModel, ModelEntry], ...] = ()

    def of(self, entry: ModelEntry) -> tuple[ServedModel, ModelEntry] | None:
        return next((listed for listed in self.models if listed[1].path == entry.path), None)

    def find(self, wanted: str) -> tuple[ServedModel, ModelEntry]:
        """By id or name. Raises ApiError. What is returned may have a problem."""
        for listed in self.models:
            if listed[0].id == wanted:
                return listed
        for listed in self.models:
            if listed[0].name == wanted:
                return listed
        raise ApiError(404, "model_not_found", self._not_found(wanted), param="model")

    def _not_found(self, wanted: str) -> str:
        shown = repr(wanted[:_MAX_SHOWN])
        if same := [model.id for model, entry in self.models if entry.name == wanted]:
            return f"There are several models {shown}. Ask for one of them by its id: {_enumerated(same)}."
        ids = [model.id for model, entry in self.models if entry.problem is None]
        if not ids:
            return f"There is no model {shown} here, nor any other."
        return f"There is no model {shown} here. There {'is' if len(ids) == 1 else 'are'} {_enumerated(ids)}."


def make_catalogue(entries: Iterable[ModelEntry]) -> Catalogue:
    """Blocks on the disk, for the dates of the files."""
    models = [(served_model(entry, _changed_s(entry.path)), entry) for entry in entries]
    n_named = Counter(model.name for model, _ in models)
    taken: set[str] = set()
    listed = []
    for model, entry in sorted(
        models, key=lambda pair: Path(pair[1].id).is_absolute()
    ):  # a library's id stays as it is
        unique_id = _unique(model.id, taken)
        taken.add(unique_id)
        name = f"{model.name} ({unique_id})" if n_named[model.name] > 1 else model.name
        listed.append((replace(model, id=unique_id, name=name), entry))
    return Catalogue(tuple(listed))


def is_same_file(one: Path, other: Path) -> bool:
    """Also where one of the names leads through a link."""
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def _changed_s(path: Path) -> int:
    try:
        return int(path.stat().st_mtime)
    except (OSError, ValueError):  # it is gone; its entry says so
        return 0


def _unique(wanted: str, taken: Collection[str]) -> str:
    candidate, n = wanted, 1
    while candidate in taken:
        n += 1
        candidate = f"{wanted}-{n}"
    return candidate


def _enumerated(ids: Sequence[str]) -> str:
    shown = ", ".join(map(repr, ids[:_MAX_NAMED]))
    return f"{shown} and {len(ids) - _MAX_NAMED} more" if len(ids) > _MAX_NAMED else shown
