"""What of a load can be fixed: each choice automatic or the user's, with what the plan takes for the automatic ones."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QWidget

from app.settings import LoadWishes
from engine.plan import MemoryPlan, ModelShape
from ui.theme import theme
from ui.widgets.buttons import Segments
from ui.widgets.fields import NumberField
from ui.widgets.labels import label

_MIN_N_CTX, _N_CTX_STEP = 256, 1024
KV_TYPES = (None, "f16", "q8_0", "q4_0")
_KV_WORDS = ("Automatic", "16 bit", "8 bit", "4 bit")
_KV_NAMES = {"f16": "16 bit", "q8_0": "8 bit", "q4_0": "4 bit"}
FLASH = (None, True, False)


class Choices(QWidget):
    """``changed`` comes with every choice of the user's."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.context = NumberChoice("Context in tokens", _MIN_N_CTX, _N_CTX_STEP)
        self.kv_type = ListChoice("Numbers in the KV cache", _KV_WORDS)
        self.flash = ListChoice("Flash attention", ("Automatic", "On", "Off"))
        self.layers = NumberChoice("Layers on the GPU", 0, 1)
        self.experts = NumberChoice("Experts with the processor", 0, 1)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(theme.space(4))
        self._grid.setVerticalSpacing(theme.space(2))
        self._grid.setColumnStretch(2, 1)
        self._titles: list[QLabel] = []
        for row, (title, choice) in enumerate(
            (
                ("Context", self.context),
                ("KV cache", self.kv_type),
                ("Flash attention", self.flash),
                ("Layers on GPU", self.layers),
                ("Experts on CPU", self.experts),
            )
        ):
            words = label(title, "strong")
            self._titles.append(words)
            self._grid.addWidget(words, row, 0)
            self._grid.addWidget(choice, row, 1, Qt.AlignmentFlag.AlignLeft)
            choice.changed.connect(self.changed)

    def fit(self, shape: ModelShape, *, has_gpu: bool) -> None:
        """Only what means something for this model on this machine can be chosen."""
        self.context.set_limit(max(shape.n_ctx_train, _MIN_N_CTX))
        self.layers.set_limit(shape.n_layers + 1)
        self.experts.set_limit(shape.n_expert_layers or shape.n_layers)
        if not shape.has_experts:
            self.experts.rename("Feed-forward layers with the processor")
            self._titles[4].setText("Feed-forward on CPU")
        for at, choice in ((3, self.layers), (4, self.experts)):
            self._titles[at].setVisible(has_gpu)
            choice.setVisible(has_gpu)

    def show_wishes(self, wishes: LoadWishes) -> None:
        self.context.show_value(wishes.n_ctx)
        self.kv_type.choose(KV_TYPES.index(wishes.kv_type) if wishes.kv_type in KV_TYPES else 0)
        self.flash.choose(FLASH.index(wishes.flash_attention))
        self.layers.show_value(wishes.n_gpu_layers)
        self.experts.show_value(wishes.experts_on_cpu)

    def wishes(self) -> LoadWishes:
        return LoadWishes(
            self.context.value(),
            KV_TYPES[self.kv_type.index],
            FLASH[self.flash.index],
            self.layers.value(),
            self.experts.value(),
        )

    def show_plan(self, plan: MemoryPlan) -> None:
        """What the plan takes where it may choose."""
        self.context.show_automatic(plan.n_ctx, f"up to {plan.n_ctx_max:,} like this" if plan.n_ctx_max else "")
        self.kv_type.show_automatic(_KV_NAMES.get(plan.kv_type, plan.kv_type))
        self.flash.show_automatic("on" if plan.flash_attention else "off")
        self.layers.show_automatic(plan.n_gpu_layers)
        self.experts.show_automatic(plan.n_ffn_on_cpu)


class _Choice(QWidget):
    changed = Signal()

    def __init__(self, name: str, words: Sequence[str]) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.index = 0
        self.segments = Segments(words, name)
        self.segments.choose(0)
        self.segments.chosen.connect(self._on_chosen)
        self.shown = label("", "figures", "dim")
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(theme.space(3))
        self.row.addWidget(self.segments)

    def _on_chosen(self, index: int) -> None:
        self.index = index
        self.changed.emit()


class ListChoice(_Choice):
    """Automatic, or one of a few words."""

    def __init__(self, name: str, words: Sequence[str]) -> None:
        super().__init__(name, words)
        self.row.addWidget(self.shown)

    def choose(self, index: int) -> None:
        self.index = index
        self.segments.choose(index)

    def show_automatic(self, words: str) -> None:
        self.shown.setText(words if self.index == 0 else "")


class NumberChoice(_Choice):
    """Automatic, or a number."""

    def __init__(self, name: str, minimum: int, step: int) -> None:
        super().__init__(name, ("Automatic", "Fixed"))
        self.field = NumberField(name, minimum, minimum + 1, step)
        self.field.setFixedWidth(theme.size("plan-field-width"))
        self.field.valueChanged.connect(lambda _value: self.changed.emit())
        self.row.addWidget(self.field)
        self.row.addWidget(self.shown)
        self._automatic = minimum
        self._refresh()

    def set_limit(self, maximum: int) -> None:
        self.field.blockSignals(True)
        self.field.setMaximum(maximum)
        self.field.blockSignals(False)

    def rename(self, name: str) -> None:
        self.field.setAccessibleName(name)
        self.segments.setAccessibleName(name)

    def value(self) -> int | None:
        return self.field.value() if self.index == 1 else None

    def show_value(self, value: int | None) -> None:
        self.index = 0 if value is None else 1
        self.segments.choose(self.index)
        if value is not None:
            self._set(value)
        self._refresh()

    def show_automatic(self, value: int, detail: str = "") -> None:
        self._automatic = value
        if self.index == 0:
            self.shown.setText(f"{value:,}")
            self._set(value)
        else:
            self.shown.setText(detail)

    def _on_chosen(self, index: int) -> None:
        """A number that becomes fixed begins as what was automatic."""
        if index == 1:
            self._set(self._automatic)
        self.index = index
        self._refresh()
        self.changed.emit()

    def _set(self, value: int) -> None:
        self.field.blockSignals(True)
        self.field.setValue(value)
        self.field.blockSignals(False)

    def _refresh(self) -> None:
        self.field.setVisible(self.index == 1)
        if self.index == 1:
            self.shown.setText("")
