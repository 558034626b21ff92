"""Controls for numbers, and a title that can be edited where it stands."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QSlider, QSpinBox, QStackedWidget, QWidget

from ui.theme import theme
from ui.widgets.buttons import IconButton
from ui.widgets.focus import FocusRing
from ui.widgets.labels import ElidedLabel, label


class NumberField(QSpinBox):
    """A whole number with thousands separators. ``valueChanged`` comes when the user is done typing."""

    def __init__(self, name: str, minimum: int, maximum: int, step: int) -> None:
        super().__init__()
        self.setRange(minimum, maximum)
        self.setSingleStep(step)
        self.setGroupSeparatorShown(True)
        self.setKeyboardTracking(False)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setAccessibleName(name)
        self.setFixedWidth(theme.size("field-width"))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """A wheel that scrolls the page must not change a number it happens to pass over."""
        event.ignore()


class _Slider(FocusRing, QSlider):
    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class SliderField(QWidget):
    """A slider over decimal numbers, and the number. ``changed`` carries what the user chose."""

    changed = Signal(float)

    def __init__(self, name: str, maximum: float, step: float) -> None:
        super().__init__()
        self._step = step
        self._slider = _Slider(Qt.Orientation.Horizontal)
        self._slider.setRange(0, round(maximum / step))
        self._slider.setFixedWidth(theme.size("slider-width"))
        self._slider.setAccessibleName(name)
        self.setFocusProxy(self._slider)
        self._number = label("", "figures")
        self._number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._number.setFixedWidth(theme.space(10))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(2))
        layout.addWidget(self._slider)
        layout.addWidget(self._number)
        self._slider.valueChanged.connect(self._on_moved)

    def set_value(self, value: float) -> None:
        """Show a value without telling anyone."""
        self._slider.blockSignals(True)
        self._slider.setValue(round(value / self._step))
        self._slider.blockSignals(False)
        self._show_number()

    def value(self) -> float:
        return round(self._slider.value() * self._step, 2)

    def _on_moved(self) -> None:
        self._show_number()
        self.changed.emit(self.value())

    def _show_number(self) -> None:
        self._number.setText(f"{self.value():.2f}")


class SizeField(QWidget):
    """A slider over gigabytes, and the number. ``changed`` carries bytes, once a choice is made and not on its way."""

    changed = Signal(object)  # int; Qt's own is too small

    def __init__(self, name: str, step_bytes: int) -> None:
        super().__init__()
        self._name = name
        self._step_bytes = step_bytes
        self._slider = _Slider(Qt.Orientation.Horizontal)
        self._slider.setTracking(False)
        self._slider.setFixedWidth(theme.size("slider-width"))
        self.setFocusProxy(self._slider)
        self._number = label("", "figures")
        self._number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._number.setFixedWidth(theme.space(16))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(2))
        layout.addWidget(self._slider)
        layout.addWidget(self._number)
        self._slider.sliderMoved.connect(self._show_number)
        self._slider.valueChanged.connect(self._on_chosen)

    def set_limit(self, size_bytes: int) -> None:
        """The most that can be chosen, but never less than what is chosen."""
        n_steps = max(1, size_bytes // self._step_bytes, self._slider.value())
        self._slider.setMaximum(n_steps)
        self._slider.setPageStep(max(1, n_steps // 10))

    def set_value(self, size_bytes: int) -> None:
        """Show a size without telling anyone."""
        n_steps = round(size_bytes / self._step_bytes)
        self._slider.blockSignals(True)
        self._slider.setMaximum(max(n_steps, self._slider.maximum()))
        self._slider.setValue(n_steps)
        self._slider.blockSignals(False)
        self._show_number(n_steps)

    def value(self) -> int:
        return self._slider.value() * self._step_bytes

    def _on_chosen(self, n_steps: int) -> None:
        self._show_number(n_steps)
        self.changed.emit(self.value())

    def _show_number(self, n_steps: int) -> None:
        text = f"{n_steps * self._step_bytes / 1e9:.4g} GB"
        self._number.setText(text)
        self._slider.setAccessibleName(f"{self._name}: {text}")


class SecretField(QWidget):
    """A line that is not shown, with a button that shows it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.line = QLineEdit()
        self.line.setAccessibleName(name)
        self.line.setEchoMode(QLineEdit.EchoMode.Password)
        self._button = IconButton("eye", f"Show: {name}", small=True)
        self._button.clicked.connect(self._toggle)
        self.setFocusProxy(self.line)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(1))
        layout.addWidget(self.line, stretch=1)
        layout.addWidget(self._button)

    def _toggle(self) -> None:
        is_hidden = self.line.echoMode() is QLineEdit.EchoMode.Password
        self.line.setEchoMode(QLineEdit.EchoMode.Normal if is_hidden else QLineEdit.EchoMode.Password)
        self._button.describe("eye-off" if is_hidden else "eye", f"{'Hide' if is_hidden else 'Show'}: {self._name}")


class EditableTitle(QStackedWidget):
    """A heading; a double click or F2 turns it into a field. ``renamed`` carries a new, non-empty title."""

    renamed = Signal(str)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._editable = False
        self._label = ElidedLabel("", "heading")
        self._field = _TitleField(name)
        self._field.setProperty("role", "title")
        self.addWidget(self._label)
        self.addWidget(self._field)
        self._field.confirmed.connect(self._finish)
        self._field.dismissed.connect(self._show_label)
        self.setFixedHeight(theme.size("control-height"))

    def set_title(self, title: str, editable: bool) -> None:
        self._editable = editable
        self._label.setText(title)
        self._label.setCursor(Qt.CursorShape.IBeamCursor if editable else Qt.CursorShape.ArrowCursor)
        self._show_label()

    def title(self) -> str:
        return self._label.text()

    def start_editing(self) -> None:
        if self._editable:
            self._field.setText(self._label.text())
            self.setCurrentWidget(self._field)
            self._field.selectAll()
            self._field.setFocus(Qt.FocusReason.OtherFocusReason)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.start_editing()

    def _finish(self) -> None:
        title = self._field.text().strip()
        changed = bool(title) and title != self._label.text()
        self._show_label()
        if changed:
            self._label.setText(title)
            self.renamed.emit(title)

    def _show_label(self) -> None:
        self.setCurrentWidget(self._label)


class _TitleField(QLineEdit):
    """Return and leaving confirm, Escape does not."""

    confirmed = Signal()
    dismissed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.returnPressed.connect(self.confirmed)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.dismissed.emit()
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if self.isVisible() and event.reason() is not Qt.FocusReason.PopupFocusReason:
            self.confirmed.emit()
