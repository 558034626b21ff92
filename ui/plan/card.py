"""A plan made visible: a bar for each device, what will happen in one sentence, and all reasons for who asks."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.plans import badge
from engine.plan import CPU_DEVICE, Device, MemoryPlan
from ui.models.words import size_text
from ui.plan.memory_map import DeviceState, map_plan, planned_of
from ui.plan.words import speeds_text
from ui.theme import theme
from ui.widgets.badge import Badge
from ui.widgets.buttons import TextButton
from ui.widgets.labels import ElidedLabel, label, make_selectable
from ui.widgets.memory_bar import Legend, LegendItem, MemoryBar, PartKind

_NAMES = (
    (PartKind.WEIGHTS, "weights"),
    (PartKind.DRAFT, "draft"),
    (PartKind.KV, "KV"),
    (PartKind.COMPUTE, "compute"),
    (PartKind.OTHERS, "other programs"),
)


class PlanCard(QWidget):
    """``resized`` tells that it wants another height."""

    resized = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.badge = Badge()
        self._speeds = label("", "figures", "dim")
        self._bars = QGridLayout()
        self._bars.setHorizontalSpacing(theme.space(3))
        self._bars.setVerticalSpacing(theme.space(2))
        self._bars.setColumnStretch(1, 1)
        self._bars.setColumnMinimumWidth(0, theme.size("plan-label-width"))
        self._rows: list[QWidget] = []
        self._legend = Legend()
        self._sentence = label("", wrap=True)
        self._reasons = label("", "small", "dim", wrap=True)
        self._why = TextButton("Why?", "ghost")
        self._why.setToolTip("Everything that was decided, each with its cause")
        make_selectable(self._reasons)
        self._reasons.hide()
        self._why.clicked.connect(self._toggle)
        self._lay_out()

    def show_plan(self, plan: MemoryPlan) -> None:
        verdict = badge(plan)
        self.badge.show_badge(_capital(verdict.text), verdict.tone)
        self._speeds.setText(speeds_text(plan))
        self._show_bars(plan)
        self._sentence.setText(plan.sentence)
        self._reasons.setText("\n".join(plan.reasons))
        self._why.setVisible(bool(plan.reasons))
        self.resized.emit()

    @property
    def text(self) -> str:
        """What it says, without the bars."""
        return " ".join(part for part in (self.badge.text(), self._speeds.text(), self._sentence.text()) if part)

    @property
    def reasons(self) -> str:
        """Nothing while they are not asked for."""
        return self._reasons.text() if not self._reasons.isHidden() else ""

    def _show_bars(self, plan: MemoryPlan) -> None:
        for widget in self._rows:
            self._bars.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self._rows = []
        totals = dict.fromkeys((kind for kind, _ in _NAMES), 0)
        for row, share in enumerate(plan.shares):
            device = share.device
            shown = map_plan(state_of(device), planned_of(share))
            bar = MemoryBar(f"Plan for {title_of_device(device)}", compact=True)
            bar.show_parts(device.total_bytes, shown.parts)
            bar.setToolTip(", ".join(item.words for item in shown.legend))
            name = ElidedLabel(title_of_device(device), "small")
            left = max(0, device.free_bytes - share.total_bytes)
            figure = label(f"{size_text(left)} left", "small", "dim")
            for column, widget in enumerate((name, bar, figure)):
                self._bars.addWidget(widget, row, column, Qt.AlignmentFlag.AlignVCenter)
                self._rows.append(widget)
            for part in shown.parts:
                if part.kind in totals:
                    totals[part.kind] += part.n_bytes
        self._legend.show_items([LegendItem(k, f"{name} {size_text(totals[k])}") for k, name in _NAMES if totals[k]])

    def _toggle(self) -> None:
        self._reasons.setVisible(self._reasons.isHidden())
        self._why.setText("Why?" if self._reasons.isHidden() else "Less")
        self.resized.emit()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(theme.space(3))
        head.addWidget(self.badge)
        head.addWidget(self._speeds)
        head.addStretch()
        head.addWidget(self._why)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(3))
        layout.addLayout(head)
        layout.addLayout(self._bars)
        layout.addWidget(self._legend)
        layout.addWidget(self._sentence)
        layout.addWidget(self._reasons)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)


def state_of(device: Device) -> DeviceState:
    return DeviceState(device.name, title_of_device(device), device.total_bytes, device.free_bytes)


def title_of_device(device: Device) -> str:
    return "This machine's RAM" if device.name == CPU_DEVICE else device.description or device.name


def titles_of(devices: Sequence[Device]) -> dict[str, str]:
    """By ggml's name; two cards of one kind are told apart by it."""
    titles = [title_of_device(device) for device in devices]
    twice = {title for title in titles if titles.count(title) > 1}
    pairs = zip(devices, titles, strict=True)
    return {device.name: f"{title} ({device.name})" if title in twice else title for device, title in pairs}


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
