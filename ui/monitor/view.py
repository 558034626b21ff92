"""Builds the monitor: a head with a verdict, a card for each device, what is remembered, and speeds."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from ui.monitor.remembered import RememberedList
from ui.monitor.speed import SpeedCard
from ui.plan.memory_map import DeviceMap
from ui.theme import theme
from ui.widgets.badge import Badge
from ui.widgets.banner import BannerArea
from ui.widgets.buttons import TextButton
from ui.widgets.labels import ElidedLabel, label
from ui.widgets.memory_bar import Legend, MemoryBar


class MonitorView(QWidget):
    """``shown`` tells whether it can be seen; ``segment_chosen`` carries a conversation and a place on the screen."""

    shown = Signal(bool)
    segment_chosen = Signal(str, QPoint)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.banners = BannerArea()
        self.badge = Badge()
        self.how = TextButton("How it is loaded", icon_name="sliders-horizontal")
        self.note = label("", "ui", "dim", wrap=True)
        self.remembered = RememberedCard()
        self.speed = SpeedCard()
        self._model = ElidedLabel("", "ui", "dim")
        self._devices: dict[str, DeviceCard] = {}
        self._device_column = QVBoxLayout()
        self._device_column.setSpacing(theme.space(4))
        self._pair = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._make_head())
        layout.addWidget(self.banners)
        layout.addWidget(self._make_scroll_area(), stretch=1)
        self.say("")

    def show_model(self, name: str) -> None:
        if self._model.text() != name:
            self._model.setText(name)

    def say(self, words: str) -> None:
        """Why there is nothing else to see, above the cards."""
        if self.note.text() != words:
            self.note.setText(words)
        self.note.setVisible(bool(words))

    def show_devices(self, maps: Sequence[DeviceMap], *, is_faded: bool = False) -> None:
        for gone in self._devices.keys() - {shown.device.name for shown in maps}:
            card = self._devices.pop(gone)
            self._device_column.removeWidget(card)
            card.hide()
            card.deleteLater()
        for at, shown in enumerate(maps):
            card = self._devices.get(shown.device.name) or self._add_device(shown, at)
            card.show_map(shown, is_faded=is_faded)

    def showEvent(self, event: object) -> None:
        self.shown.emit(True)

    def hideEvent(self, event: object) -> None:
        self.shown.emit(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is little room, speeds stand below what is remembered."""
        super().resizeEvent(event)
        is_wide = event.size().width() >= theme.size("monitor-split-width")
        wanted = QBoxLayout.Direction.LeftToRight if is_wide else QBoxLayout.Direction.TopToBottom
        if self._pair.direction() is not wanted:
            self._pair.setDirection(wanted)

    def _add_device(self, shown: DeviceMap, at: int) -> DeviceCard:
        card = self._devices[shown.device.name] = DeviceCard(shown.device.title)
        card.bar.activated.connect(self.segment_chosen)
        self._device_column.insertWidget(at, card)
        return card

    def _make_head(self) -> QWidget:
        head = QWidget()
        head.setProperty("role", "head")
        head.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        head.setFixedHeight(theme.size("head-height"))
        layout = QHBoxLayout(head)
        layout.setContentsMargins(theme.space(5), 0, theme.space(5), 0)
        layout.setSpacing(theme.space(3))
        layout.addWidget(label("Monitor", "heading"))
        layout.addSpacing(theme.space(1))
        layout.addWidget(self._model, stretch=1)
        layout.addWidget(self.badge)
        layout.addWidget(self.how)
        return head

    def _make_scroll_area(self) -> QScrollArea:
        page = QWidget()
        page.setProperty("role", "page")
        layout = QVBoxLayout(page)
        layout.setContentsMargins(theme.space(9), theme.space(7), theme.space(9), theme.space(7))
        layout.setSpacing(theme.space(5))
        self._pair.setSpacing(theme.space(5))
        self._pair.addWidget(self.remembered, stretch=4, alignment=Qt.AlignmentFlag.AlignTop)
        self._pair.addWidget(self.speed, stretch=3, alignment=Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.note)
        layout.addLayout(self._device_column)
        layout.addLayout(self._pair)
        layout.addStretch()
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(page)
        return area


class DeviceCard(QFrame):
    def __init__(self, title: str) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.bar = MemoryBar(title)
        self._title = ElidedLabel(title, "heading")
        self.legend = Legend()
        self.caption = label("", "figures", "dim")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(5), theme.space(4), theme.space(5), theme.space(5))
        layout.setSpacing(theme.space(3))
        layout.addLayout(_row(self._title, self.caption))
        layout.addWidget(self.bar)
        layout.addWidget(self.legend)

    def show_map(self, shown: DeviceMap, *, is_faded: bool) -> None:
        """Cheap where nothing has changed."""
        if self._title.text() != shown.device.title:
            self._title.setText(shown.device.title)
            self.bar.setAccessibleName(shown.device.title)
        caption = "" if is_faded else shown.caption
        if self.caption.text() != caption:
            self.caption.setText(caption)
        self.bar.show_parts(shown.device.total_bytes, shown.parts, is_planned=shown.is_planned, is_faded=is_faded)
        self.legend.show_items(() if is_faded else shown.legend)


class RememberedCard(QFrame):
    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.list = RememberedList()
        self.summary = label("", "figures", "dim")
        self._nothing = label("", "ui", "dim", wrap=True)
        self._nothing.setContentsMargins(theme.space(5), 0, theme.space(5), theme.space(2))
        head = _row(ElidedLabel("Conversations remembered", "heading"), self.summary)
        head.setContentsMargins(theme.space(5), 0, theme.space(5), 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.space(4), 0, theme.space(3))
        layout.setSpacing(theme.space(2))
        layout.addLayout(head)
        layout.addWidget(self._nothing)
        layout.addWidget(self.list)
        self.list.remembered.modelReset.connect(self._refresh)
        self._refresh()

    def say(self, words: str) -> None:
        """What stands there where nothing is remembered."""
        if self._nothing.text() != words:
            self._nothing.setText(words)

    def _refresh(self) -> None:
        has_any = self.list.remembered.rowCount() > 0
        self.list.setVisible(has_any)
        self._nothing.setVisible(not has_any)


def _row(title: ElidedLabel, figures: QLabel) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(theme.space(4))
    row.addWidget(title, stretch=1)
    row.addWidget(figures)
    return row
