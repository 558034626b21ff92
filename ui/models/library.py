"""The models that the picker offers; one that cannot be used stays visible and says why."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt

from app.remote import RemoteModel
from app.remote.address import host_of
from ui.models.words import count_text, size_text

if TYPE_CHECKING:
    from app.library import ModelEntry

_Index = QModelIndex | QPersistentModelIndex


class ModelRole(IntEnum):
    """``PROBLEM`` is a sentence or None; ``IS_CURRENT`` marks the one that is loaded or loading; ``IS_REMOTE`` those
    that a server has.

    A model with a problem can be selected, so that its reason can be read and it can be removed, but not loaded.
    """

    ENTRY = Qt.ItemDataRole.UserRole
    DETAIL = Qt.ItemDataRole.UserRole + 1
    PROBLEM = Qt.ItemDataRole.UserRole + 2
    IS_CURRENT = Qt.ItemDataRole.UserRole + 3
    IS_REMOTE = Qt.ItemDataRole.UserRole + 4


class ModelListModel(QAbstractListModel):
    def __init__(self) -> None:
        super().__init__()
        self._entries: list[ModelEntry | RemoteModel] = []
        self._current_id: str | None = None

    def show_entries(self, entries: Sequence[ModelEntry | RemoteModel], current_id: str | None) -> None:
        self.beginResetModel()
        self._entries = list(entries)
        self._current_id = current_id
        self.endResetModel()

    def first_row_to_pick(self) -> int | None:
        """The current model's row, else the first that can be used."""
        usable = [row for row, entry in enumerate(self._entries) if entry.problem is None]
        current = [row for row in usable if self._entries[row].id == self._current_id]
        return next(iter(current + usable), None)

    def entry(self, model_id: str) -> ModelEntry | RemoteModel:
        """Of a row. Raises KeyError for a model that is in none."""
        return {entry.id: entry for entry in self._entries}[model_id]

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._entries)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        entry = self._entries[index.row()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return entry.name
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{entry.name}, {_problem(entry) or detail_of(entry)}"
            case Qt.ItemDataRole.ToolTipRole:
                return _problem(entry) or place_of(entry)
            case ModelRole.ENTRY:
                return entry
            case ModelRole.DETAIL:
                return detail_of(entry)
            case ModelRole.PROBLEM:
                return _problem(entry)
            case ModelRole.IS_CURRENT:
                return entry.id == self._current_id
            case ModelRole.IS_REMOTE:
                return isinstance(entry, RemoteModel)
        return None


def place_of(entry: ModelEntry | RemoteModel) -> str:
    """The file, or the server's address."""
    return entry.server.address if isinstance(entry, RemoteModel) else str(entry.path)


def detail_of(entry: ModelEntry | RemoteModel) -> str:
    """``Q4_K_M · 4.7 GB · 8.2 B parameters``; for a server's model ``Cluster · gpu.example.com:8000``"""
    if isinstance(entry, RemoteModel):
        host = host_of(entry.server.address)
        return entry.server.name if entry.server.name == host else f"{entry.server.name} · {host}"
    n_params = f"{count_text(entry.n_params)} parameters" if entry.n_params else ""
    return " · ".join(part for part in (entry.quantization, size_text(entry.size_bytes), n_params) if part)


def _problem(entry: ModelEntry | RemoteModel) -> str | None:
    return entry.problem.sentence if entry.problem is not None else None
