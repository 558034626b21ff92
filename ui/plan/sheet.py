"""The sheet that says how a model is loaded, and takes wishes. What it does is decided in ``control``."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from app.settings import LoadWishes
from engine.errors import ErrorInfo
from engine.plan import MemoryPlan, ModelShape
from engine.receipt import Receipt
from ui.plan.card import PlanCard
from ui.plan.choices import Choices
from ui.plan.receipt import ReceiptTable
from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.labels import label, rule
from ui.widgets.overlay import Sheet


class LoadSheet(Sheet):
    """Every change of ``choices`` is told by ``wished``; ``confirmed`` says that it is to be loaded like this."""

    wished = Signal()
    confirmed = Signal()

    def __init__(self, host: QWidget, name: str, *, is_loaded: bool) -> None:
        super().__init__(host, f"How {name} is loaded")
        self._width = theme.size("sheet-wide")
        self.card = PlanCard()
        self.choices = Choices()
        self.receipt = ReceiptTable()
        self.receipt.hide()
        self._state = label("Looking at the model and the machine.", "ui", "dim", wrap=True)
        self._automatic = TextButton("All automatic", "ghost")
        self._automatic.setToolTip("Leave every choice to the plan")
        self._load = TextButton("Load again" if is_loaded else "Load", "primary")
        self._body = QWidget()
        self._area = QScrollArea()
        self._lay_out()
        self._fit_timer = QTimer(self, singleShot=True, interval=0)
        self._fit_timer.timeout.connect(self._fit)
        self.card.resized.connect(self._fit_later)
        self.choices.changed.connect(self._on_changed)
        self._automatic.clicked.connect(self._choose_automatic)
        self._load.clicked.connect(self.dismiss)
        self._load.clicked.connect(self.confirmed)

    def fit_choices(self, shape: ModelShape, wishes: LoadWishes, *, has_gpu: bool) -> None:
        self.choices.fit(shape, has_gpu=has_gpu)
        self.choices.show_wishes(wishes)
        self._automatic.setVisible(not wishes.is_automatic)

    def show_plan(self, plan: MemoryPlan, shape: ModelShape) -> None:
        self._state.hide()
        for widget in (self.card, self.choices):
            widget.show()
        self.choices.show_plan(plan)
        self.card.show_plan(plan)
        self._load.setEnabled(True)
        self._fit_later()

    def show_receipt(self, receipt: Receipt) -> None:
        self.receipt.show_receipt(receipt)
        self.receipt.show()
        self._fit_later()

    def show_problem(self, error: ErrorInfo) -> None:
        self._state.setText(error.sentence)
        self._state.show()
        self._fit_later()

    def _first_focus(self) -> QWidget:
        return self._load

    def _place(self, card: QWidget) -> None:
        """As high as its contents, which scroll where the window is low."""
        width = min(self._width, self.width() - 2 * theme.space(6)) - 2 * theme.space(6)
        inner = width - self._area.verticalScrollBar().sizeHint().width()
        layout = self._body.layout()
        wanted = layout.heightForWidth(inner) if layout is not None and layout.hasHeightForWidth() else 0
        wanted = max(wanted, self._body.minimumSizeHint().height())
        around = card.sizeHint().height() - self._area.sizeHint().height()
        room = self.height() - 2 * theme.space(6) - max(around, theme.space(32))
        self._area.setFixedHeight(max(theme.space(20), min(wanted, room)))
        super()._place(card)

    def _fit_later(self) -> None:
        """Once the new contents are laid out."""
        self._fit_timer.start()

    def _on_changed(self) -> None:
        self._automatic.setVisible(not self.choices.wishes().is_automatic)
        self.wished.emit()

    def _choose_automatic(self) -> None:
        self.choices.show_wishes(LoadWishes())
        self._on_changed()

    def _lay_out(self) -> None:
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, theme.space(2), 0)
        body.setSpacing(theme.space(4))
        for widget in (self._state, self.card, rule(), self.choices, self.receipt):
            body.addWidget(widget)
        body.addStretch()
        self._body.setProperty("role", "clear")
        for widget in (self.card, self.choices):
            widget.hide()
        self._area.setProperty("role", "clear")
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(self._body)
        self._layout.addWidget(self._area)
        self._buttons.insertWidget(0, self._automatic)
        self._load.setEnabled(False)
        self.add_button("Cancel")
        self._buttons.addWidget(self._load)
