"""Where models can come from that are on this machine already. Nothing is copied, and nothing of others is deleted."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.library import OtherApp
from ui.models.words import size_text
from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.labels import ElidedLabel, label, rule
from ui.widgets.overlay import Sheet

_TEXT = "Models are used where they lie. Nothing is copied, and Hearth never deletes what belongs to another app."


class ImportSheet(Sheet):
    """``app_chosen`` carries an OtherApp. The folder and the files are asked for by who opened the sheet."""

    app_chosen = Signal(object)

    def __init__(self, host: QWidget, apps: Sequence[OtherApp]) -> None:
        super().__init__(host, "Import models", _TEXT)
        self._width = theme.size("sheet-wide")
        for app in apps:
            self._layout.addWidget(rule())
            self._layout.addWidget(self._row(app))
        if not apps:
            self._layout.addWidget(
                label("Neither Ollama, LM Studio, Jan nor the hub's cache has models here.", tone="dim")
            )
        else:
            self._layout.addWidget(rule())

    def _row(self, app: OtherApp) -> QWidget:
        fresh = [model for model in app.models if not model.is_known and model.problem is None]
        row = QWidget()
        row.setProperty("role", "clear")
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(3))
        words = QVBoxLayout()
        words.setSpacing(0)
        name = app.app.label[:1].upper() + app.app.label[1:]
        words.addWidget(ElidedLabel(f"{name}: {words_of(app)}", "strong"))
        words.addWidget(ElidedLabel(str(app.folder), "small", "dim"))
        layout.addLayout(words, stretch=1)
        button = TextButton("Import" if fresh else "Nothing new")
        button.setEnabled(bool(fresh))
        button.setAccessibleName(f"Import from {app.app.label}")
        button.clicked.connect(self.dismiss)
        button.clicked.connect(lambda: self.app_chosen.emit(app))
        layout.addWidget(button)
        return row


def words_of(app: OtherApp) -> str:
    """``5 models, 21 GB, 2 of them new``"""
    n_new = sum(not model.is_known and model.problem is None for model in app.models)
    n_bad = sum(model.problem is not None for model in app.models)
    count = "1 model" if len(app.models) == 1 else f"{len(app.models)} models"
    total = size_text(sum(model.size_bytes for model in app.models))
    new = "" if n_new == len(app.models) else f", {n_new} of them new"
    return f"{count}, {total}{new}" + (f", {n_bad} unusable" if n_bad else "")
