"""The requests that are being answered, each with its figures and a button that stops it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from app.api.traffic import LivePhase, LiveRequest
from ui.api.words import clock, duration, live_phase, live_tokens, program, speed
from ui.theme import theme
from ui.widgets.buttons import IconButton
from ui.widgets.dots import Dot
from ui.widgets.labels import ElidedLabel, label

N_SHOWN = 50
"""More rows than anybody reads; of the rest the number is told."""

_COLORS = {
    LivePhase.LOADING: None,
    LivePhase.QUEUED: None,
    LivePhase.PREFILL: "ram",
    LivePhase.DECODING: "accent",
}


class LiveList(QScrollArea):
    """A row stays the widget of its request until that is over, so that a focus and a press stay where they are."""

    stop_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[int, _Row] = {}
        self._nothing = label("", "ui", "dim")
        self._nothing.setContentsMargins(theme.space(5), 0, theme.space(5), theme.space(2))
        self._more = label("", "small", "dim")
        self._more.setContentsMargins(theme.space(5), 0, theme.space(5), theme.space(2))
        self._more.hide()
        page = QWidget()
        page.setProperty("role", "clear")
        self._layout = QVBoxLayout(page)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._layout.addWidget(self._nothing)
        self._layout.addWidget(self._more)
        self.setWidget(page)
        self.setWidgetResizable(True)
        self.setProperty("role", "clear")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def show_requests(self, requests: Sequence[LiveRequest], *, is_on: bool) -> None:
        shown = requests[:N_SHOWN]
        for gone in self._rows.keys() - {request.id for request in shown}:
            row = self._rows.pop(gone)
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        for request in shown:
            row = self._rows.get(request.id) or self._add(request.id)
            row.show_request(request)
        _say(self._nothing, "No request at the moment." if is_on else "The API is off.")
        n_more = len(requests) - len(shown)
        _say(self._more, f"and {n_more:,} more" if n_more else "")
        self._nothing.setVisible(not requests)
        self._more.setVisible(n_more > 0)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fit()

    def _fit(self) -> None:
        """As high as its rows, up to some, so that what stands below has room."""
        height = len(self._rows) * theme.size("request-row-height") if self._rows else theme.line_height("ui")
        spare = theme.space(2) if not self._rows else 0
        more = theme.space(6) if not self._more.isHidden() else 0
        self.setFixedHeight(min(height + spare + more, theme.size("request-list-height")))

    def _add(self, request_id: int) -> _Row:
        row = self._rows[request_id] = _Row()
        row.stop.clicked.connect(lambda: self.stop_wanted.emit(request_id))
        self._layout.insertWidget(self._layout.count() - 1, row)
        return row


class _Row(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(theme.size("request-row-height"))
        self.stop = IconButton("stop", "Stop this request", small=True)
        self._dot = Dot(None)
        self._color: str | None = None
        self._program = ElidedLabel("", "strong")
        self._where = ElidedLabel("", "small", "dim")
        self._phase = _right(label("", "ui"))
        self._tokens = _right(label("", "small", "dim"))
        self._speed = _right(label("", "figures"))
        self._elapsed = _right(label("", "small", "dim"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.space(5), 0, theme.space(4), 0)
        layout.setSpacing(theme.space(4))
        layout.addWidget(self._dot)
        layout.addLayout(_pair(self._program, self._where), stretch=1)
        layout.addLayout(_pair(self._phase, self._tokens))
        layout.addLayout(_pair(self._speed, self._elapsed))
        layout.addWidget(self.stop)
        self._speed.setMinimumWidth(theme.size("speed-width"))

    def show_request(self, request: LiveRequest) -> None:
        """Only what is another one is set: a label that is set is painted."""
        who = program(request.agent, request.client)
        if _COLORS[request.phase] != self._color:
            self._color = _COLORS[request.phase]
            self._dot.set_color(self._color)
        parts = (request.endpoint, request.model or "", f"since {clock(request.started_s)}")
        _say(self._program, who)
        _say(self._where, "  ·  ".join(part for part in parts if part))
        _say(self._phase, live_phase(request))
        _say(self._tokens, live_tokens(request))
        _say(self._speed, speed(request.tokens_per_s))
        _say(self._elapsed, duration(round(request.elapsed_s) if request.elapsed_s >= 1 else request.elapsed_s))
        name = f"Stop the request of {who}"
        if self.stop.accessibleName() != name:
            self.stop.describe("stop", name)


def _pair(above: QLabel, below: QLabel) -> QVBoxLayout:
    column = QVBoxLayout()
    column.setSpacing(0)
    column.addStretch()
    column.addWidget(above)
    column.addWidget(below)
    column.addStretch()
    return column


def _right(made: QLabel) -> QLabel:
    made.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return made


def _say(words: QLabel, text: str) -> None:
    if words.text() != text:
        words.setText(text)
