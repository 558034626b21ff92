"""Why a repository's files cannot be had now, and what to do about it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from app.hub import TokenPlace
from engine.errors import ErrorInfo
from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.fields import SecretField
from ui.widgets.labels import IconLabel, label


class GateCard(QFrame):
    """``token_given`` carries what was typed and where it shall be kept; ``page_wanted``: the licence, in a browser."""

    token_given = Signal(str, object)
    page_wanted = Signal()
    again_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._title = label("", "strong", wrap=True)
        self._hint = label("", "ui", "dim", wrap=True)
        self._problem = label("", "small", "bad", wrap=True)
        self.token = SecretField("Access token")
        self.token.line.setPlaceholderText("hf_...")
        self.page = TextButton("Open the licence page", icon_name="external-link")
        self.sign_in = TextButton("Sign in", "primary")
        self.again = TextButton("Try again")
        self.in_file = TextButton("Keep it in a file")
        self.for_this_run = TextButton("Only until Hearth ends")
        self.page.clicked.connect(self.page_wanted)
        self.again.clicked.connect(self.again_wanted)
        self.token.line.returnPressed.connect(lambda: self._give(TokenPlace.KEYRING))
        self.sign_in.clicked.connect(lambda: self._give(TokenPlace.KEYRING))
        self.in_file.clicked.connect(lambda: self._give(TokenPlace.FILE))
        self.for_this_run.clicked.connect(lambda: self._give(TokenPlace.RUN))
        self.in_file.setToolTip("Readable for you, and for every program that you start")
        self._lay_out()

    def show_access(self, access: ErrorInfo | None) -> None:
        """None: nothing is in the way."""
        self.setVisible(access is not None)
        self._problem.hide()
        self._offer_other_places(False)
        if access is not None:
            self._title.setText(access.text)
            self._hint.setText(access.hint)
            self.setAccessibleName(access.sentence)

    def show_problem(self, error: ErrorInfo, *, offers_places: bool) -> None:
        """The token was not taken. ``offers_places``: because there is no keyring."""
        self._problem.setText(error.sentence)
        self._problem.show()
        self._offer_other_places(offers_places)

    @property
    def text(self) -> str:
        problem = self._problem.text() if not self._problem.isHidden() else ""
        return f"{self._title.text()} {self._hint.text()} {problem}".strip()

    def _give(self, place: TokenPlace) -> None:
        typed = self.token.line.text().strip()
        if typed:
            self.token_given.emit(typed, place)
        else:
            self.token.line.setFocus()

    def clear_token(self) -> None:
        self.token.line.clear()

    def _offer_other_places(self, offers: bool) -> None:
        self.in_file.setVisible(offers)
        self.for_this_run.setVisible(offers)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(theme.space(3))
        head.addWidget(IconLabel("lock", "warn"))
        head.addWidget(self._title, stretch=1)
        steps = QHBoxLayout()
        steps.setSpacing(theme.space(2))
        steps.addWidget(self.page)
        steps.addWidget(self.token, stretch=1)
        steps.addWidget(self.sign_in)
        steps.addWidget(self.again)
        places = QHBoxLayout()
        places.setSpacing(theme.space(2))
        places.addWidget(self._problem, stretch=1)
        places.addWidget(self.for_this_run)
        places.addWidget(self.in_file)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(5), theme.space(4), theme.space(4), theme.space(4))
        layout.setSpacing(theme.space(3))
        layout.addLayout(head)
        layout.addWidget(self._hint)
        layout.addLayout(steps)
        layout.addLayout(places)
        self.again.setToolTip("Ask the hub again whether the files can be had")
