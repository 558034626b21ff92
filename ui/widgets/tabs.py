"""Places within a page, side by side: the open one is underlined."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QSizePolicy, QToolButton, QWidget

from ui.theme import theme
from ui.widgets.focus import FocusRing


class _Tab(FocusRing, QToolButton):
    pass


class Tabs(QWidget):
    """``chosen`` carries the index that the user picked. The arrow keys go from one to the next."""

    chosen = Signal(int)

    def __init__(self, labels: Sequence[str], name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._group = QButtonGroup(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(1))
        for index, text in enumerate(labels):
            tab = _Tab()
            tab.setText(text)
            tab.setProperty("kind", "tab")
            tab.setCheckable(True)
            tab.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            tab.setCursor(Qt.CursorShape.PointingHandCursor)
            self._group.addButton(tab, index)
            layout.addWidget(tab)
        self._group.idClicked.connect(self.chosen)
        self.choose(0)

    def choose(self, index: int) -> None:
        """Show a choice without telling anyone."""
        self._group.button(index).setChecked(True)

    def rename(self, index: int, text: str) -> None:
        self._group.button(index).setText(text)
