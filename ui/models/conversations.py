"""The conversations in the sidebar, under headings that say when they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import IntEnum
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt, Signal

from ui.models.memory import KEPT_WHOLE, Tier, cache_text, tier_of
from ui.models.words import group_label

if TYPE_CHECKING:
    from app.chats.types import ConversationSummary
    from engine.reuse import ConversationCache

_Index = QModelIndex | QPersistentModelIndex


class ConversationRole(IntEnum):
    """``ID`` is None for a heading; ``TIER`` is None for one, and while no model is there to remember anything."""

    ID = Qt.ItemDataRole.UserRole
    SNIPPET = Qt.ItemDataRole.UserRole + 1
    TIER = Qt.ItemDataRole.UserRole + 2
    IS_PINNED = Qt.ItemDataRole.UserRole + 3


class ConversationListModel(QAbstractListModel):
    """Rows are headings (plain strings) and conversations. An edited title is told by ``renamed``."""

    renamed = Signal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[str | ConversationSummary] = []
        self._caches: Mapping[int, ConversationCache] | None = None
        self._is_kept_whole = False
        self._is_remote = False
        self._pinned: frozenset[int] = frozenset()

    def show_by_time(self, conversations: Sequence[ConversationSummary], today: date) -> None:
        """Newest first, as the service gives them."""
        rows: list[str | ConversationSummary] = []
        heading = None
        for conversation in conversations:
            label = group_label(datetime.fromtimestamp(conversation.updated_at_s).date(), today)
            if label != heading:
                rows.append(label)
                heading = label
            rows.append(conversation)
        self._replace(rows)

    def show_results(self, conversations: Sequence[ConversationSummary]) -> None:
        """What a search found, in its order and without headings."""
        self._replace(list(conversations))

    def show_caches(self, caches: Mapping[int, ConversationCache] | None) -> None:
        """What the model remembers, by conversation; None while there is no model."""
        self._caches = caches
        self._tell_of_badges()

    def show_kept_whole(self, is_kept_whole: bool) -> None:
        """The model cannot go on from the middle of what it remembers."""
        self._is_kept_whole = is_kept_whole
        self._tell_of_badges()

    def show_remote(self, is_remote: bool) -> None:
        """What is remembered is a server's affair, of which it tells nothing."""
        if is_remote is not self._is_remote:
            self._is_remote = is_remote
            self._tell_of_badges()

    @property
    def can_pin(self) -> bool:
        return not self._is_remote

    def show_pins(self, conversation_ids: Iterable[int]) -> None:
        self._pinned = frozenset(conversation_ids)
        self._tell_of_badges()

    def is_pinned(self, conversation_id: int) -> bool:
        return conversation_id in self._pinned

    def is_remembered(self, conversation_id: int) -> bool:
        """Whether the model keeps anything of it."""
        cache = (self._caches or {}).get(conversation_id)
        return cache is not None and bool(cache.cells_bytes or cache.ram_bytes or cache.disk_bytes)

    def row_of(self, conversation_id: int | None) -> int | None:
        for row, item in enumerate(self._rows):
            if not isinstance(item, str) and item.id == conversation_id:
                return row
        return None

    def first_row(self) -> int | None:
        """The first row that is a conversation."""
        return next((row for row, item in enumerate(self._rows) if not isinstance(item, str)), None)

    def title_of(self, conversation_id: int) -> str:
        row = self.row_of(conversation_id)
        item = self._rows[row] if row is not None else None
        return "" if item is None or isinstance(item, str) else item.title

    def neighbour_of(self, conversation_id: int) -> int | None:
        """The conversation to show once this one is gone: the next, else the one before, else none."""
        ids = [item.id for item in self._rows if not isinstance(item, str)]
        if conversation_id not in ids:
            return None
        at = ids.index(conversation_id)
        around = ids[at + 1 : at + 2] or ids[max(0, at - 1) : at]
        return around[0] if around else None

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        item = self._rows[index.row()]
        if isinstance(item, str):
            return item if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole) else None
        return self._conversation_data(item, role)

    def flags(self, index: _Index) -> Qt.ItemFlag:
        if not index.isValid() or isinstance(self._rows[index.row()], str):
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEditable

    def setData(self, index: _Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """A new title is told, not kept: the list is filled again when it has been saved."""
        item = self._rows[index.row()]
        title = str(value).strip()
        if role != Qt.ItemDataRole.EditRole or isinstance(item, str) or not title or title == item.title:
            return False
        self.renamed.emit(item.id, title)
        return True

    def _replace(self, rows: list[str | ConversationSummary]) -> None:
        if rows != self._rows:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()

    def _tell_of_badges(self) -> None:
        if self._rows:
            roles = [ConversationRole.TIER, ConversationRole.IS_PINNED, Qt.ItemDataRole.ToolTipRole]
            self.dataChanged.emit(self.index(0), self.index(len(self._rows) - 1), roles)

    def _conversation_data(self, item: ConversationSummary, role: int) -> object:
        match role:
            case Qt.ItemDataRole.DisplayRole | Qt.ItemDataRole.EditRole:
                return item.title
            case Qt.ItemDataRole.ToolTipRole:
                return "\n".join(part for part in (item.title, self._memory_text(item.id)) if part)
            case Qt.ItemDataRole.AccessibleTextRole:
                memory = self._memory_text(item.id).replace("\n", ". ")
                return ". ".join(part for part in (item.title, item.snippet, memory) if part)
            case ConversationRole.ID:
                return item.id
            case ConversationRole.SNIPPET:
                return item.snippet
            case ConversationRole.TIER:
                return self._tier(item.id)
            case ConversationRole.IS_PINNED:
                return item.id in self._pinned
        return None

    def _tier(self, conversation_id: int) -> Tier | None:
        return None if self._caches is None else tier_of(self._caches.get(conversation_id))

    def _memory_text(self, conversation_id: int) -> str:
        if self._is_remote:
            return "kept by the server"
        pin = "kept ready" if conversation_id in self._pinned else ""
        known = "" if self._caches is None else cache_text(self._caches.get(conversation_id))
        words = "; ".join(part for part in (known, pin) if part)
        return f"{words}\n{KEPT_WHOLE}" if known and self._is_kept_whole else words
