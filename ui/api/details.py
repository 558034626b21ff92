"""One request that is over, in full."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QPlainTextEdit, QScrollArea, QVBoxLayout, QWidget

from app.api.traffic import LoggedRequest, Surface
from ui.api.words import clock, duration, speed, status
from ui.theme import theme
from ui.widgets.buttons import IconButton
from ui.widgets.copying import CopyTextButton
from ui.widgets.labels import label, make_selectable

_SURFACES = {Surface.OPENAI: "OpenAI's", Surface.ANTHROPIC: "Anthropic's", Surface.OLLAMA: "Ollama's"}


def facts_of(request: LoggedRequest) -> tuple[tuple[str, str], ...]:
    """What is known of it, as pairs of words."""
    cached = f", {request.n_cached:,} of them remembered" if request.n_cached else ""
    facts = (
        ("Asked at", clock(request.started_s)),
        ("Program", request.agent),
        ("From", request.client),
        ("Request", f"{request.method} {request.endpoint}"),
        ("Protocol", _SURFACES.get(request.surface, "")),
        ("Model", request.model or ""),
        ("Status", "The client went away" if request.status is None else status(request)),
        ("Prompt", f"{request.n_prompt:,} tokens{cached}" if request.n_prompt else ""),
        ("Answer", f"{request.n_output:,} tokens" if request.n_output else ""),
        ("First token", duration(request.first_token_s) if request.first_token_s is not None else ""),
        ("Speed", speed(request.tokens_per_s)),
        ("Took", duration(request.duration_s)),
    )
    return tuple((name, value) for name, value in facts if value)


class DetailsCard(QFrame):
    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setAccessibleName("Details of the request")
        self.setMinimumWidth(theme.size("details-min-width"))
        self.setMinimumHeight(theme.size("log-height"))
        self._shown: LoggedRequest | None = None
        self._close = IconButton("x", "Close the details", small=True)
        self._close.clicked.connect(self.closed)
        self._error = label("", "ui", "bad", wrap=True)
        make_selectable(self._error)
        self._facts = QGridLayout()
        self._facts.setHorizontalSpacing(theme.space(4))
        self._facts.setVerticalSpacing(theme.space(1) // 2)
        self._facts.setColumnStretch(1, 1)
        self._asked = _Body("What was asked")
        self._answered = _Body("What was answered")
        self._no_bodies = label("What was asked and answered was not kept.", "small", "dim", wrap=True)
        self._lay_out()

    def show_request(self, request: LoggedRequest) -> None:
        if request == self._shown:
            return
        self._shown = request
        self._error.setText(request.error or "")
        self._error.setVisible(request.error is not None)
        self._show_facts(facts_of(request))
        bodies = request.bodies
        self._no_bodies.setVisible(bodies is None)
        self._asked.show_text(bodies.request if bodies is not None else None)
        self._answered.show_text(bodies.response if bodies is not None else None)

    def _show_facts(self, facts: tuple[tuple[str, str], ...]) -> None:
        while (item := self._facts.takeAt(0)) is not None:
            old = item.widget()
            if old is not None:
                old.hide()
                old.deleteLater()
        for row, (name, value) in enumerate(facts):
            shown = label(value, "figures", wrap=True)
            make_selectable(shown)
            self._facts.addWidget(label(name, "ui", "dim"), row, 0, Qt.AlignmentFlag.AlignTop)
            self._facts.addWidget(shown, row, 1)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(theme.space(5), 0, theme.space(2), 0)
        head.addWidget(label("Details", "heading"), stretch=1)
        head.addWidget(self._close)
        page = QWidget()
        page.setProperty("role", "clear")
        body = QVBoxLayout(page)
        body.setContentsMargins(theme.space(5), 0, theme.space(5), theme.space(3))
        body.setSpacing(theme.space(3))
        body.addWidget(self._error)
        body.addLayout(self._facts)
        for widget in (self._no_bodies, self._asked, self._answered):
            body.addWidget(widget)
        body.addStretch()
        area = QScrollArea()
        area.setProperty("role", "clear")
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.space(2), 0, theme.space(1))
        layout.setSpacing(theme.space(1))
        layout.addLayout(head)
        layout.addWidget(area, stretch=1)


class _Body(QWidget):
    def __init__(self, title: str) -> None:
        super().__init__()
        self._text = QPlainTextEdit()
        self._text.setProperty("role", "field")
        self._text.setReadOnly(True)
        self._text.setFont(theme.font("code"))
        self._text.setAccessibleName(title)
        self._text.setTabChangesFocus(True)
        self._text.setFixedHeight(theme.size("body-height"))
        head = QHBoxLayout()
        head.addWidget(label(title, "strong"), stretch=1)
        head.addWidget(CopyTextButton(f"Copy: {title}", self._text.toPlainText))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(1))
        layout.addLayout(head)
        layout.addWidget(self._text)

    def show_text(self, text: str | None) -> None:
        self.setVisible(text is not None)
        self._text.setPlainText(text or "")
