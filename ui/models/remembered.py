"""The conversations that the model remembers, the quickest to come back first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt

from ui.models.memory import Tier, cache_text, tier_of
from ui.models.words import tokens_text

if TYPE_CHECKING:
    from engine.reuse import ConversationCache

_Index = QModelIndex | QPersistentModelIndex
_TIERS = tuple(Tier)


@dataclass(frozen=True, slots=True)
class RememberedRow:
    """``size_bytes`` are of the place that ``tier`` names; other places may have copies of it."""

    id: str
    title: str
    tier: Tier
    n_tokens: int
    size_bytes: int
    is_pinned: bool
    words: str

    @staticmethod
    def of(cache: ConversationCache, title: str) -> RememberedRow:
        size_bytes = max(cache.cells_bytes, cache.ram_bytes, cache.disk_bytes)
        pinned = "; kept ready" if cache.is_pinned else ""
        return RememberedRow(
            cache.id, title, tier_of(cache), cache.n_tokens, size_bytes, cache.is_pinned, cache_text(cache) + pinned
        )

    @property
    def is_kept(self) -> bool:
        return self.size_bytes > 0


class RememberedRole(IntEnum):
    ROW = Qt.ItemDataRole.UserRole


class RememberedModel(QAbstractListModel):
    """Rows stay where they are while the same conversations are there, so that a selection stays as well."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[RememberedRow] = []

    def show_rows(self, rows: Sequence[RememberedRow]) -> None:
        kept = sorted((row for row in rows if row.is_kept or row.is_pinned), key=_order)
        if [row.id for row in kept] != [row.id for row in self._rows]:
            self.beginResetModel()
            self._rows = kept
            self.endResetModel()
            return
        for at, row in enumerate(kept):
            if row != self._rows[at]:
                self._rows[at] = row
                self.dataChanged.emit(self.index(at), self.index(at))

    def row_of(self, conversation: str) -> int | None:
        return next((at for at, row in enumerate(self._rows) if row.id == conversation), None)

    def find(self, conversation: str) -> RememberedRow | None:
        return next((row for row in self._rows if row.id == conversation), None)

    @property
    def summary(self) -> str:
        """``41,200 tokens``"""
        return tokens_text(sum(row.n_tokens for row in self._rows)) if self._rows else ""

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return row.title
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{row.title}, {row.words}"
            case Qt.ItemDataRole.ToolTipRole:
                return f"{row.title}\n{row.words}"
            case RememberedRole.ROW:
                return row
        return None


def _order(row: RememberedRow) -> tuple[int, bool, int, str]:
    return _TIERS.index(row.tier), not row.is_pinned, -row.size_bytes, row.id
