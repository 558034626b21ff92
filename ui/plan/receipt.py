"""What a load was planned to take beside what it took."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from engine.plan.types import CPU_DEVICE
from engine.receipt import DeviceUse, Receipt
from ui.models.words import size_text
from ui.plan.memory_map import Loaded, loaded_of, planned_in, verdict_of
from ui.theme import theme
from ui.widgets.badge import Badge
from ui.widgets.labels import label


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """``planned_bytes`` is None where nothing was planned. A heading names a device and sums it up."""

    words: str
    planned_bytes: int | None
    measured_bytes: int
    is_heading: bool = False
    note: str = ""


def lines_of(receipt: Receipt) -> tuple[ReceiptLine, ...]:
    """Devices that have nothing of the model are left out."""
    lines: list[ReceiptLine] = []
    for use in receipt.devices:
        measured = loaded_of(receipt, use.device)
        planned = planned_in(use)
        if measured.total_bytes or (planned is not None and planned.total_bytes):
            lines += _device_lines(receipt, use, measured, planned)
    return tuple(lines)


def _device_lines(receipt: Receipt, use: DeviceUse, measured: Loaded, planned: Loaded | None) -> list[ReceiptLine]:
    name = "This machine's RAM" if use.device == CPU_DEVICE else use.device
    lines = [ReceiptLine(name, planned.total_bytes if planned else None, measured.total_bytes, is_heading=True)]
    for words, kind in (
        ("Weights", "weights_bytes"),
        ("Draft model", "draft_bytes"),
        ("KV cache", "kv_bytes"),
        ("Room to compute in", "compute_bytes"),
    ):
        there, wanted = getattr(measured, kind), getattr(planned, kind) if planned else None
        if there or wanted:
            lines.append(ReceiptLine(words, wanted, there, note=_buffers(receipt, use.device, kind)))
    return lines


def _buffers(receipt: Receipt, device: str, kind: str) -> str:
    """llama.cpp's names of the buffers behind a line, for who looks closer."""
    kinds = {
        "weights_bytes": ("weights", "adapter"),
        "kv_bytes": ("kv", "state"),
        "compute_bytes": ("compute", "output"),
    }.get(kind, ())
    found = [b for b in receipt.buffers if b.device == device and b.kind in kinds]
    return "\n".join(f"{buffer.name}: {size_text(buffer.size_bytes)}" for buffer in found)


class ReceiptTable(QWidget):
    """A screen reader hears each line as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self._badge = Badge()
        self._rows: list[QWidget] = []
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(theme.space(5))
        self._grid.setVerticalSpacing(theme.space(1) // 2)
        self._grid.setColumnStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(2))
        layout.addWidget(label("As it is loaded now", "strong"))
        layout.addWidget(self._badge, alignment=Qt.AlignmentFlag.AlignLeft)
        layout.addLayout(self._grid)

    def show_receipt(self, receipt: Receipt) -> None:
        verdict = verdict_of(receipt)
        if verdict is not None:
            self._badge.show_badge(verdict.words, verdict.tone, verdict.explanation)
        else:
            self._badge.show_badge("")
        for widget in self._rows:
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self._rows = []
        was_planned = any(line.planned_bytes is not None for line in lines_of(receipt))
        self._add(0, ("", "planned" if was_planned else "", "measured"), "small", "dim")
        for row, line in enumerate(lines_of(receipt), 1):
            planned = "" if line.planned_bytes is None else size_text(line.planned_bytes)
            figures = (line.words, planned, size_text(line.measured_bytes))
            self._add(
                row, figures, "strong" if line.is_heading else "figures", "text" if line.is_heading else "dim", line
            )

    def _add(
        self, row: int, texts: tuple[str, str, str], role: str, tone: str, line: ReceiptLine | None = None
    ) -> None:
        for column, text in enumerate(texts):
            made = label(text, role, tone)
            if column:
                made.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if line is not None and line.note:
                made.setToolTip(line.note)
            self._grid.addWidget(made, row, column)
            self._rows.append(made)
