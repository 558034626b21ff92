"""The card of speeds: a figure and a line over the last minutes for each kind of work."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from ui.models.throughput import SPAN_S, Drafts, Speeds, Throughput, Work
from ui.theme import theme
from ui.widgets.labels import label
from ui.widgets.sparkline import Sparkline

_MINUTES = f"the last {SPAN_S / 60:.0f} minutes"


class SpeedCard(QFrame):
    """Drafting has a row once something was drafted."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._rows = {
            Work.WRITING: SpeedRow("Writing", "accent"),
            Work.READING: SpeedRow("Reading prompts", "weights", is_dashed=True),
        }
        self._drafts = SpeedRow("Guessed ahead", "draft")
        self._drafts.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(5), theme.space(4), theme.space(5), theme.space(5))
        layout.setSpacing(theme.space(3))
        head = QHBoxLayout()
        head.addWidget(label("Speed", "heading"), stretch=1)
        head.addWidget(label(_MINUTES, "small", "dim"))
        layout.addLayout(head)
        for row in (*self._rows.values(), self._drafts):
            layout.addWidget(row)

    def show_throughput(self, throughput: Throughput, *, with_figures: bool = True) -> None:
        """The lines, and the figures if wanted: those lay out the page anew, and nobody reads ten of them a second."""
        for work, row in self._rows.items():
            speeds = throughput.speeds(work)
            row.show_line(speeds.series)
            if with_figures:
                row.show_speeds(speeds)

    def show_drafts(self, drafts: Drafts) -> None:
        if drafts.n_drafted:
            figure = f"{drafts.n_accepted / drafts.n_drafted:.0%} right"
            self._drafts.show_figures(figure, f"of {drafts.n_drafted:,} tokens", drafts.series, ceiling=1.0)
        if self._drafts.isHidden() is bool(drafts.n_drafted):
            self._drafts.setVisible(bool(drafts.n_drafted))

    def row(self, work: Work) -> SpeedRow:
        return self._rows[work]


class SpeedRow(QWidget):
    def __init__(self, title: str, color: str, *, is_dashed: bool = False) -> None:
        super().__init__()
        self._title = title
        self.figure = label("", "strong")
        self._detail = label("", "small", "dim")
        self._line = Sparkline(color, is_dashed=is_dashed)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(label(title, "small", "dim"))
        words.addWidget(self.figure)
        words.addWidget(self._detail)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(4))
        layout.addLayout(words)
        layout.addWidget(self._line, stretch=1, alignment=Qt.AlignmentFlag.AlignBottom)
        for made in (self.figure, self._detail):
            made.setFixedWidth(theme.size("plan-label-width"))

    def show_speeds(self, speeds: Speeds) -> None:
        detail = f"up to {speed_words(speeds.peak)}" if speeds.peak else ""
        self.show_figures(_figure(speeds), detail, speeds.series)

    def show_figures(
        self, figure: str, detail: str, series: Sequence[float | None], ceiling: float | None = None
    ) -> None:
        """Only what is another one is set: a label that is set is painted."""
        if (figure, detail) != (self.figure.text(), self._detail.text()):
            self.figure.setText(figure)
            self._detail.setText(detail)
            self._line.setAccessibleName(
                ", ".join(part for part in (f"{self._title} over {_MINUTES}", figure, detail) if part)
            )
        self.show_line(series, ceiling)

    def show_line(self, series: Sequence[float | None], ceiling: float | None = None) -> None:
        self._line.show_values(series, ceiling)


def speed_words(tokens_per_s: float) -> str:
    """``61 tok/s``, ``4.2 tok/s``"""
    return f"{tokens_per_s:,.0f} tok/s" if tokens_per_s >= 10 else f"{tokens_per_s:.1f} tok/s"


def _figure(speeds: Speeds) -> str:
    if speeds.now is not None:
        return speed_words(speeds.now)
    return "idle" if speeds.last is not None else "nothing yet"
