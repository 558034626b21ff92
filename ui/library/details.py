"""One model of this machine in full, and what can be done with it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.library import ModelDetails, ModelEntry, Source
from app.plans import Badge as PlanBadge
from ui.library.progress import ProgressBar
from ui.library.words import ago, place_words
from ui.models.words import count_text, size_text
from ui.theme import theme
from ui.widgets.badge import Badge
from ui.widgets.buttons import IconButton, TextButton
from ui.widgets.labels import label, make_selectable, rule

_COMMIT_CHARS = 12


def facts_of(entry: ModelEntry) -> tuple[tuple[str, str], ...]:
    """What is known of it, as pairs of words."""
    origin = entry.origin
    licence = entry.licence or (origin.licence if origin is not None and origin.licence else "")
    facts = (
        ("Architecture", entry.architecture),
        ("Parameters", count_text(entry.n_params) if entry.n_params else ""),
        ("Type", entry.quantization),
        ("Context", f"{entry.n_ctx_train:,} tokens" if entry.n_ctx_train else ""),
        ("Layers", f"{entry.n_layers:,} of width {entry.width:,}" if entry.n_layers else ""),
        ("Vocabulary", f"{entry.n_vocab:,} tokens" if entry.n_vocab else ""),
        ("Template", "" if entry.problem else "Its own" if entry.has_template else "None; a plain one is used"),
        ("Licence", licence),
        ("Size", _size(entry)),
        ("Last use", ago(entry.last_used_s) or "Not yet"),
        ("From", place_words(entry)),
        ("Commit", origin.commit[:_COMMIT_CHARS] if origin is not None else ""),
        ("sha256", origin.sha256 or "" if origin is not None else ""),
        ("Projector", ", ".join(one.name for one in entry.projectors)),
        ("Adapters", ", ".join(one.name for one in entry.adapters)),
        ("Place", str(entry.path)),
    )
    return tuple((name, value) for name, value in facts if value)


class DetailsPane(QStackedWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setFixedWidth(theme.size("library-details-width"))
        self.title = label("", "heading", wrap=True)
        self.badge = Badge()
        self.problem = label("", "ui", "warn", wrap=True)
        self.load = TextButton("Load", "primary")
        self.verify = TextButton("Verify")
        self.verify.setToolTip("Read the whole file and compare it with what its publisher says that it is")
        self.delete = TextButton("Delete")
        self.template = TextButton("Template", "ghost")
        self.metadata = TextButton("Everything in its header", "ghost")
        self.cancel = IconButton("x", "Stop", small=True)
        self.partner = label("", "figures", wrap=True)
        self.outcome = label("", "small", "dim", wrap=True)
        self._progress = ProgressBar("Verifying")
        self._working = QWidget()
        self._facts = QGridLayout()
        self._entry: ModelEntry | None = None
        for words in (self.title, self.problem, self.outcome):
            make_selectable(words)
        self._lay_out()
        self.show_entry(None)

    @property
    def entry(self) -> ModelEntry | None:
        return self._entry

    def show_entry(self, entry: ModelEntry | None) -> None:
        """What the list knows; an outcome of before stays only where it is the same model."""
        if entry is None:
            self._entry = None
            self.setCurrentIndex(0)
            return
        if self._entry is None or entry.id != self._entry.id:
            self.say_outcome("")
            self.show_partner("")
        if entry != self._entry:
            self._show_facts(entry)
        self._entry = entry
        self.title.setText(entry.name)
        self.problem.setText(entry.problem.sentence if entry.problem is not None else "")
        self.problem.setVisible(entry.problem is not None)
        self.load.setVisible(entry.problem is None)
        self.verify.setVisible(bool(entry.size_bytes))
        self.template.setVisible(entry.has_template)
        self.metadata.setVisible(entry.problem is None)
        is_linked = entry.source is Source.LINKED
        self.delete.setText("Remove from the list" if is_linked else "Delete")
        self.delete.setToolTip("The file itself stays where it is" if is_linked else "To the recycle bin")
        self.setCurrentIndex(1)

    def show_badge(self, badge: PlanBadge | None) -> None:
        if badge is None:
            self.badge.show_badge("")
        else:
            self.badge.show_badge(badge.text, badge.tone.value, badge.tooltip)

    def show_partner(self, words: str) -> None:
        """Which model can draft for it."""
        self.partner.setText(words)
        self.partner.setVisible(bool(words))

    def say_outcome(self, words: str, tone: str = "dim") -> None:
        self.outcome.setText(words)
        self.outcome.setProperty("tone", tone)
        self.outcome.style().unpolish(self.outcome)
        self.outcome.style().polish(self.outcome)
        self.outcome.setVisible(bool(words))

    def show_progress(self, fraction: float | None) -> None:
        """None: nothing is being verified."""
        self._working.setVisible(fraction is not None)
        self.verify.setEnabled(fraction is None)
        self._progress.show_fraction(fraction or 0.0)

    def said(self) -> str:
        """All its facts, a line for each."""
        entry = self._entry
        lines = [f"{name}: {value}" for name, value in facts_of(entry)] if entry is not None else []
        extra = [self.problem.text(), self.outcome.text(), self.partner.text()]
        return "\n".join(line for line in [self.title.text(), *lines, *extra] if line)

    def _show_facts(self, entry: ModelEntry) -> None:
        while (item := self._facts.takeAt(0)) is not None:
            old = item.widget()
            if old is not None:
                old.hide()
                old.deleteLater()
        for row, (name, value) in enumerate(facts_of(entry)):
            shown = label(_breakable(value), "figures", wrap=True)
            make_selectable(shown)
            self._facts.addWidget(label(name, "ui", "dim"), row, 0, Qt.AlignmentFlag.AlignTop)
            self._facts.addWidget(shown, row, 1)

    def _lay_out(self) -> None:
        self._facts.setHorizontalSpacing(theme.space(4))
        self._facts.setVerticalSpacing(theme.space(1))
        self._facts.setColumnStretch(1, 1)
        working = QHBoxLayout(self._working)
        working.setContentsMargins(0, 0, 0, 0)
        working.addWidget(label("Verifying", "small", "dim"))
        working.addWidget(self._progress, stretch=1)
        working.addWidget(self.cancel)
        acts = QHBoxLayout()
        acts.setSpacing(theme.space(2))
        for button in (self.load, self.verify, self.delete):
            acts.addWidget(button)
        acts.addStretch()
        more = QHBoxLayout()
        more.addWidget(self.template)
        more.addWidget(self.metadata)
        more.addStretch()
        page = QWidget()
        page.setProperty("role", "page")
        column = QVBoxLayout(page)
        column.setContentsMargins(theme.space(5), theme.space(5), theme.space(5), theme.space(5))
        column.setSpacing(theme.space(3))
        column.addWidget(self.title)
        column.addWidget(self.badge, alignment=Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.problem)
        column.addLayout(acts)
        column.addWidget(self._working)
        column.addWidget(self.outcome)
        column.addWidget(rule())
        column.addLayout(self._facts)
        column.addWidget(self.partner)
        column.addLayout(more)
        column.addStretch()
        area = QScrollArea()
        area.setWidget(page)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        nothing = label("Choose a model to see what it is.", "ui", "dim", wrap=True)
        nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.addWidget(nothing)
        self.addWidget(area)
        self.show_progress(None)


def header_text(details: ModelDetails) -> str:
    """The header as text: what it says, then how its tensors are stored."""
    lines = [f"{key} = {value}" for key, value in details.metadata]
    types = [f"{one.name}: {one.n_tensors:,} tensors, {size_text(one.size_bytes)}" for one in details.tensor_types]
    return "\n".join([*types, "", *lines])


def _size(entry: ModelEntry) -> str:
    words = size_text(entry.size_bytes) if entry.size_bytes else ""
    return f"{words} in {len(entry.parts)} files" if len(entry.parts) > 1 else words


def _breakable(text: str) -> str:
    """With places to break in long words, such as paths and hashes, which would widen the pane."""
    words = text.replace("/", "/\u200b").split(" ")
    return " ".join(
        "\u200b".join(word[at : at + 16] for at in range(0, len(word), 16))
        if len(word) > 40 and "/" not in word
        else word
        for word in words
    )
