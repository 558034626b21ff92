"""Why an answer took as long as it did: where its prompt came from, what had to be read, and the times."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRect, Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QVBoxLayout, QWidget

from app.chats.types import AnswerStats
from engine.reuse import Reason, ReuseReport
from engine.types import DraftReport, DraftVerdict
from ui.chat.answers import context_used, speed_text
from ui.models.memory import Tier
from ui.models.words import tokens_text
from ui.theme import theme
from ui.widgets.dots import Dot
from ui.widgets.labels import label, rule
from ui.widgets.overlay import Popover

TITLE = "Why did this take that long?"

_NOT_DRAFTED = {
    DraftVerdict.NOTHING_TO_GUESS: "nothing to go by",
    DraftVerdict.NOT_WORTH_IT: "not worth it here",
}
_REASONS = {
    Reason.NEW: "New text",
    Reason.EDITED: "Earlier text was edited",
    Reason.EVICTED: "Made room for something else",
    Reason.DROPPED: "Forgotten because you asked for it",
    Reason.OTHER_SETTINGS: "Saved for another model or setting",
    Reason.NOT_CUTTABLE: "This model cannot go on from the middle of a text",
    Reason.CHEAPER_TO_COMPUTE: "Reading again was quicker than fetching",
    Reason.DAMAGED: "A saved page was damaged",
}


@dataclass(frozen=True, slots=True)
class Line:
    """``tier`` marks where tokens came from; a detail belongs to the line above."""

    words: str
    figure: str
    tier: Tier | None = None
    is_detail: bool = False


def explain(stats: AnswerStats) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Lines about what was read, and lines about what it took."""
    return _reading(stats), _times(stats)


def show_explanation(host: QWidget, stats: AnswerStats, at: QRect) -> None:
    """Open the explanation beside ``at``, which is a place on the screen."""
    reading, times = explain(stats)
    card = _Card()
    card.add_lines(reading)
    card.add_rule()
    card.add_lines(times)
    Popover(host, QRect(host.mapFromGlobal(at.topLeft()), at.size()), card).open()


def _reading(stats: AnswerStats) -> tuple[Line, ...]:
    if stats.is_remote:
        return _at_the_server(stats)
    reuse = stats.reuse
    if reuse is None:
        return (
            Line("Remembered", tokens_text(stats.n_cached), Tier.READY),
            Line("Read now", tokens_text(stats.n_prompt - stats.n_cached), Tier.COLD),
        )
    lines = [Line("Ready in memory", tokens_text(reuse.n_cells), Tier.READY), *_fetched(reuse)]
    lines.append(Line("Read now", tokens_text(reuse.n_new), Tier.COLD))
    lines += [Line(_REASONS[reason], f"{n:,}", is_detail=True) for reason, n in reuse.reasons if n]
    if stats.n_dropped:
        lines.append(Line("Left out to make the rest fit", f"{stats.n_dropped:,} messages"))
    return tuple(lines)


def _at_the_server(stats: AnswerStats) -> tuple[Line, ...]:
    """As much as servers tell: what they keep, and where, is theirs."""
    lines = [Line("Sent", tokens_text(stats.n_prompt) if stats.n_prompt else "not told")]
    if stats.n_cached:
        lines.append(Line("Kept by the server", tokens_text(stats.n_cached), is_detail=True))
    else:
        lines.append(Line("What was remembered of it is kept by the server", "not told", is_detail=True))
    if stats.n_dropped:
        lines.append(Line("Left out to make the rest fit", f"{stats.n_dropped:,} messages"))
    return tuple(lines)


def _fetched(reuse: ReuseReport) -> list[Line]:
    lines = []
    if reuse.n_ram:
        lines.append(Line("Brought back from RAM", tokens_text(reuse.n_ram), Tier.RAM))
    if reuse.n_disk:
        lines.append(Line("Brought back from disk", tokens_text(reuse.n_disk), Tier.DISK))
    if lines:
        lines.append(Line("Bringing it back took", f"{reuse.restore_s:.2f} s", is_detail=True))
    return lines


def _times(stats: AnswerStats) -> tuple[Line, ...]:
    lines = [
        Line("Waited in the queue", _seconds(stats.queued_s)),
        Line("First word after", _seconds(stats.first_token_s)),
        Line("Written", tokens_text(stats.n_output)),
        Line("Writing speed", f"{speed_text(stats.tokens_per_s)} tokens/s" if stats.tokens_per_s else ""),
        *_drafting(stats.drafting),
        Line("Context in use", _context(stats)),
        Line("Answered by", stats.model_name or ""),
    ]
    return tuple(line for line in lines if line.figure)


def _drafting(report: DraftReport | None) -> list[Line]:
    if report is None:
        return []
    if report.verdict is not DraftVerdict.DRAFTED:
        return [Line("Guessed ahead", _NOT_DRAFTED[report.verdict])]
    n_from_text = report.n_drafted - report.n_from_model
    lines = [
        Line("Guessed ahead, and right", f"{report.n_accepted:,} of {report.n_drafted:,}"),
        Line("By the small model", tokens_text(report.n_from_model) if report.n_from_model else "", is_detail=True),
        Line("From the text so far", tokens_text(n_from_text) if n_from_text else "", is_detail=True),
    ]
    if report.plain_tokens_per_s:
        lines.append(Line("Without that, about", f"{speed_text(report.plain_tokens_per_s)} tokens/s", is_detail=True))
    return lines


def _context(stats: AnswerStats) -> str:
    """A server may tell neither how long the prompt was nor what fits."""
    if not stats.n_prompt:
        return ""
    return f"{context_used(stats):,} of {stats.n_ctx:,}" if stats.n_ctx else f"{context_used(stats):,}"


def _seconds(duration_s: float | None) -> str:
    return "" if duration_s is None else f"{duration_s:.2f} s"


class _Card(QFrame):
    """A screen reader hears all of it at once, because the card has the focus while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(TITLE)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(*[theme.space(5)] * 4)
        self._layout.setSpacing(theme.space(3))
        self._layout.addWidget(label(TITLE, "heading"))

    def add_lines(self, lines: tuple[Line, ...]) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.space(3))
        grid.setVerticalSpacing(theme.space(1) // 2)
        grid.setColumnStretch(1, 1)
        for row, line in enumerate(lines):
            tone = "dim" if line.is_detail else "text"
            if line.tier is not None:
                grid.addWidget(Dot(line.tier.value), row, 0, Qt.AlignmentFlag.AlignTop)
            words, figure = label(line.words, "ui", tone, wrap=True), _figure(line.figure, tone)
            words.setMinimumHeight(theme.line_height("ui"))
            figure.setFixedHeight(theme.line_height("ui"))
            grid.addWidget(words, row, 1)
            grid.addWidget(figure, row, 2, _FIGURES)
        self._layout.addLayout(grid)
        said = [f"{line.words}: {line.figure}." for line in lines]
        self.setAccessibleDescription(" ".join([self.accessibleDescription(), *said]).strip())

    def add_rule(self) -> None:
        self._layout.addWidget(rule())


def _figure(text: str, tone: str) -> QLabel:
    """The name of a model can be longer than there is room; the words before it are to stay on one line."""
    figure = label(text, "figures", tone)
    room = round(theme.size("popover-width") * _FIGURE_SHARE)
    shown = figure.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, room)
    figure.setText(shown)
    figure.setToolTip(text if shown != text else "")
    return figure


_FIGURE_SHARE = 0.5
_FIGURES = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop
