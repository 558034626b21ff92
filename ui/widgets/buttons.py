"""Buttons with words, buttons with an icon, and a choice of a few words."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QButtonGroup, QCheckBox, QFrame, QHBoxLayout, QPushButton, QSizePolicy, QToolButton

from ui.theme import theme
from ui.widgets.focus import FocusRing
from ui.widgets.icons import icon, paint_icon


class TextButton(FocusRing, QPushButton):
    """``kind`` is plain, primary (the one main action of a place), ghost or chip."""

    def __init__(self, text: str, kind: str = "plain", icon_name: str | None = None) -> None:
        super().__init__(text)
        self.setProperty("kind", kind)
        self.setAutoDefault(False)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        if icon_name:
            self.setIcon(icon(icon_name, "accent-ink" if kind == "primary" else "dim"))
            self.setIconSize(QSize(theme.size("icon-small") + theme.space(1), theme.size("icon-small")))


class IconButton(FocusRing, QToolButton):
    """An icon whose name is heard by a screen reader and shown as a tooltip, with the keys that do the same."""

    def __init__(self, icon_name: str, name: str, *, keys: str = "", kind: str = "ghost", small: bool = False) -> None:
        super().__init__()
        self.setProperty("kind", kind)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        side = theme.size("icon-small" if small else "icon")
        self.setIconSize(QSize(side, side))
        self.setFixedSize(theme.size("control-height"), theme.size("control-height"))
        self.describe(icon_name, name, keys)

    def describe(self, icon_name: str, name: str, keys: str = "", color: str = "dim") -> None:
        """Turn it into another button: what it shows and what it is called."""
        self.setIcon(icon(icon_name, color))
        self.setAccessibleName(name)
        self.setToolTip(f"{name} ({keys})" if keys else name)


class RailButton(FocusRing, QToolButton):
    """A place in the rail: checked while that place is shown."""

    def __init__(self, icon_name: str, name: str, keys: str = "") -> None:
        super().__init__()
        self.setProperty("kind", "rail")
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFixedSize(theme.size("rail-button"), theme.size("rail-button"))
        self.setIconSize(QSize(theme.size("icon"), theme.size("icon")))
        self.setIcon(icon(icon_name, "dim", checked_color="accent"))
        self.setAccessibleName(name)
        self.setToolTip(f"{name} ({keys})" if keys else name)


class CheckBox(FocusRing, QCheckBox):
    """A box with words. Painted here, because a style sheet cannot recolour its mark."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        words = self.fontMetrics().horizontalAdvance(self.text())
        return QSize(theme.size("icon-small") + theme.space(2) + words + theme.space(1), theme.size("control-height"))

    def hitButton(self, position: QPoint) -> bool:
        return self.rect().contains(position)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        side, half = theme.size("icon-small"), theme.exact_size("line-width") / 2
        box = QRectF(0, (self.height() - side) / 2, side, side)
        border = "accent" if self.isChecked() or self.property("focusRing") else "dim"
        painter.setPen(QPen(theme.color(border), theme.exact_size("line-width")))
        painter.setBrush(theme.color("accent" if self.isChecked() else "surface"))
        painter.drawRoundedRect(box.adjusted(half, half, -half, -half), theme.space(1), theme.space(1))
        if self.isChecked():
            paint_icon(painter, box.adjusted(2, 2, -2, -2), "check", theme.color("accent-ink"))
        painter.setPen(theme.color("text"))
        words = self.rect().adjusted(side + theme.space(2), 0, 0, 0)
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, self.text())


class _SegmentButton(FocusRing, QToolButton):
    pass


class Segments(QFrame):
    """A choice of one of a few words. ``chosen`` carries the index that the user picked."""

    chosen = Signal(int)

    def __init__(self, labels: Sequence[str], name: str) -> None:
        super().__init__()
        self.setProperty("role", "segments")
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._group = QButtonGroup(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for index, label in enumerate(labels):
            button = self._make_button(label, name)
            self._group.addButton(button, index)
            layout.addWidget(button)
        self._group.idClicked.connect(self.chosen)

    def choose(self, index: int) -> None:
        """Show a choice without telling anyone."""
        self._group.button(index).setChecked(True)

    def _make_button(self, label: str, name: str) -> QToolButton:
        button = _SegmentButton()
        button.setText(label)
        button.setProperty("kind", "segment")
        button.setCheckable(True)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        button.setAccessibleName(f"{name}: {label}")
        return button
