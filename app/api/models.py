"""The model that is served, as ``/v1/models`` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.api.errors import ApiError
from app.library import ModelEntry
from engine.types import ModelInfo

_ANY = "default"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """``id`` is what clients ask for; ``name`` and "default" will do too. ``created_s`` is the date of its file."""

    id: str
    name: str
    created_s: int

    def check_name(self, wanted: str | None) -> None:
        """Raises ApiError where a client asks for another model. Naming none is fine: there is one only."""
        if wanted not in (None, self.id, self.name, _ANY):
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


def served_model(entry: ModelEntry) -> ServedModel:
    """Where the id is the file's path, clients see its name alone. Raises OSError where the file is gone."""
    shown = entry.path.stem if Path(entry.id).is_absolute() else entry.id
    return ServedModel(shown, entry.name, int(entry.path.stat().st_mtime))
