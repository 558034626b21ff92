"""The requests that are over, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt

if TYPE_CHECKING:
    from app.api.traffic import LoggedRequest

_Index = QModelIndex | QPersistentModelIndex


class RequestRole(IntEnum):
    REQUEST = Qt.ItemDataRole.UserRole


class RequestLogModel(QAbstractListModel):
    """What is new is inserted and what is old removed, so that a selection and a scrolled place stay."""

    def __init__(self) -> None:
        super().__init__()
        self._requests: list[LoggedRequest] = []

    def show_requests(self, requests: Sequence[LoggedRequest]) -> None:
        known = {request.id for request in self._requests}
        n_new = next((at for at, request in enumerate(requests) if request.id in known), len(requests))
        kept = list(requests[n_new:])
        if [request.id for request in kept] != [request.id for request in self._requests[: len(kept)]]:
            self.beginResetModel()
            self._requests = list(requests)
            self.endResetModel()
            return
        self._drop_from(len(kept))
        self._change(kept)
        if n_new:
            self.beginInsertRows(QModelIndex(), 0, n_new - 1)
            self._requests[:0] = requests[:n_new]
            self.endInsertRows()

    def request_at(self, index: _Index) -> LoggedRequest | None:
        return self._requests[index.row()] if index.isValid() else None

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._requests)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        request = self._requests[index.row()]
        if role == RequestRole.REQUEST:
            return request
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            status = "client left" if request.status is None else f"status {request.status}"
            return f"{request.endpoint}, {request.agent or request.client}, {status}, {request.duration_s:.2f} s"
        return None

    def _drop_from(self, row: int) -> None:
        if row < len(self._requests):
            self.beginRemoveRows(QModelIndex(), row, len(self._requests) - 1)
            del self._requests[row:]
            self.endRemoveRows()

    def _change(self, requests: Sequence[LoggedRequest]) -> None:
        """The bodies of those that are known may have been forgotten."""
        for row, request in enumerate(requests):
            if request != self._requests[row]:
                self._requests[row] = request
                self.dataChanged.emit(self.index(row), self.index(row))
