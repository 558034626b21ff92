"""What can take the focus, and what a screen reader would say of it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QAbstractButton, QScrollBar, QWidget


def focusable(root: QWidget) -> list[QWidget]:
    found = [
        widget
        for widget in root.findChildren(QWidget)
        if widget.isVisible()
        and widget.focusPolicy() != Qt.FocusPolicy.NoFocus
        and not widget.objectName().startswith("qt_")
        and not isinstance(widget, QScrollBar)
    ]
    assert found
    return found


def unnamed(root: QWidget) -> list[str]:
    """Focusable widgets that a screen reader has no words for."""
    return [
        type(widget).__name__
        for widget in focusable(root)
        if not QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)
    ]


def without_tab(root: QWidget) -> list[str]:
    """But for buttons of a group, where the arrow keys lead from the checked one to the others."""
    left_out = [w for w in focusable(root) if not w.focusPolicy() & Qt.FocusPolicy.TabFocus]
    return [type(w).__name__ for w in left_out if not (isinstance(w, QAbstractButton) and w.group() is not None)]
