"""One block as a text document. The only things a document of ours can ever load are formulas that we drew."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import singledispatchmethod
from itertools import accumulate

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QFont, QImage, QTextCharFormat, QTextCursor, QTextDocument, QTextImageFormat, QTextOption

from ui.widgets.markdown.blocks import (
    Alignment,
    Block,
    MathBlock,
    PlainBlock,
    Span,
    SpanStyle,
    TableBlock,
    TextBlock,
)
from ui.widgets.markdown.formulas import Formula, FormulaKey, formulas
from ui.widgets.markdown.highlight import ColorRun
from ui.widgets.markdown.plain import source_of_math
from ui.widgets.markdown.sheet import Sheet

_FORBIDDEN = {
    0x2029: "\n",  # ends a paragraph
    0xFDD0: "�",  # these begin and end a frame inside QTextDocument,
    0xFDD1: "�",
    0xFFFC: "�",  # and this stands for an image
    0x00: "�",
}
_STRONG = ("L", "R", "AL")
_LINE_BREAK = "\u2028"
_WRAP = QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere
_IMAGE = "\ufffc"


def n_positions(text: str) -> int:
    """How many positions a text takes in a document, which counts UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


class BlockDocument(QTextDocument):
    """Filled with one block after the other. ``waiting`` are the formulas in it that are not drawn yet."""

    def __init__(self) -> None:
        super().__init__()
        self.setUndoRedoEnabled(False)
        self.setDocumentMargin(0)
        self.waiting: set[FormulaKey] = set()
        self._sources: dict[int, str] = {}
        self._sheet = Sheet()
        self._pixel_ratio = 1.0

    def loadResource(self, kind: int, name: QUrl | str) -> QImage | None:
        return formulas().image(name.toString() if isinstance(name, QUrl) else name)

    def fill(self, block: Block, sheet: Sheet, pixel_ratio: float) -> None:
        """Replace everything by ``block``, which is not a listing. The document is laid out once, after it."""
        self._sheet, self._pixel_ratio = sheet, pixel_ratio
        self.waiting.clear()
        self._sources.clear()
        self.clear()
        cursor = QTextCursor(self)
        cursor.beginEditBlock()
        self._write(block, cursor)
        cursor.endEditBlock()

    def write_code(self, kept: int, code: str, runs: Sequence[ColorRun], sheet: Sheet) -> None:
        """Keep the first ``kept`` positions of a listing and write ``code`` behind them, ``runs`` of it in colour."""
        cursor = QTextCursor(self)
        cursor.beginEditBlock()
        if kept:
            cursor.setPosition(kept)
            cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
            cursor.removeSelectedText()
        else:
            self._prepare(sheet.code_font, QTextOption.WrapMode.NoWrap, sheet.tab_width)
            cursor.setBlockFormat(sheet.listing())
        for text, color in _colored(code.translate(_FORBIDDEN), runs):
            cursor.insertText(text, sheet.colored(color))
        cursor.endEditBlock()

    @property
    def baseline(self) -> float:
        """Of the first line, from above."""
        block = self.firstBlock()
        top = self.documentLayout().blockBoundingRect(block).top()  # lays it out, too
        layout = block.layout()
        if not layout.lineCount():
            return top
        line = layout.lineAt(0)
        return top + line.y() + line.ascent()

    def text_between(self, start: int, end: int) -> str:
        """The characters there as plain text, with formulas as TeX."""
        cursor = QTextCursor(self)
        cursor.setPosition(start)
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        text = cursor.selectedText().replace("\u2029", "\n").replace(_LINE_BREAK, "\n").replace("\xa0", " ")
        if _IMAGE not in text:
            return text
        positions = accumulate((_n_units(character) for character in text), initial=start)
        pairs = zip(text, positions, strict=False)
        return "".join(self._sources.get(at, "") if character == _IMAGE else character for character, at in pairs)

    @singledispatchmethod
    def _write(self, block: Block, cursor: QTextCursor) -> None:
        """Rules have no text."""

    @_write.register
    def _(self, block: TextBlock, cursor: QTextCursor) -> None:
        self._prepare(self._sheet.reading_font if not block.level else self._sheet.characters(level=block.level).font())
        cursor.setBlockFormat(self._sheet.paragraph(block.level, grows=_has_formulas(block.spans)))
        self._write_spans(block.spans, cursor, block.level)

    @_write.register
    def _(self, block: PlainBlock, cursor: QTextCursor) -> None:
        self._prepare(self._sheet.quiet_font if block.is_quiet else self._sheet.reading_font)
        cursor.setBlockFormat(self._sheet.quiet_paragraph() if block.is_quiet else self._sheet.paragraph())
        characters = self._sheet.quiet_characters() if block.is_quiet else self._sheet.characters()
        cursor.insertText(_safe(block.text), characters)

    @_write.register
    def _(self, block: MathBlock, cursor: QTextCursor) -> None:
        self._prepare(self._sheet.reading_font)
        cursor.setBlockFormat(self._sheet.aligned(Alignment.CENTER, grows=True))
        self._write_formula(Span(block.tex, SpanStyle.MATH | SpanStyle.DISPLAY), cursor, 0, is_alone=True)

    @_write.register
    def _(self, block: TableBlock, cursor: QTextCursor) -> None:
        self._prepare(self._sheet.reading_font, QTextOption.WrapMode.WordWrap)
        is_rtl = _is_rtl(block)
        cursor.setBlockFormat(self._sheet.hidden_line())
        table = cursor.insertTable(len(block.rows), max(1, len(block.alignments)), self._sheet.table(is_rtl))
        for row, cells in enumerate(block.rows):
            for column, (spans, alignment) in enumerate(zip(cells, block.alignments, strict=False)):
                # QTextTable counts columns from the left in any language.
                cell = table.cellAt(row, len(block.alignments) - 1 - column if is_rtl else column)
                cell.setFormat(self._sheet.cell(is_first=column == 0, is_head=row == 0, is_rtl=is_rtl))
                inside = cell.firstCursorPosition()
                inside.setBlockFormat(self._sheet.aligned(alignment, grows=_has_formulas(spans)))
                self._write_spans(spans, inside, extra=SpanStyle.BOLD if row == 0 else SpanStyle.NONE)
        last = QTextCursor(self.lastBlock())
        last.setBlockFormat(self._sheet.hidden_line())

    def _prepare(self, font: QFont, wrap: QTextOption.WrapMode = _WRAP, tab_width: float | None = None) -> None:
        self.setDefaultFont(font)
        option = QTextOption()
        option.setTextDirection(Qt.LayoutDirection.LayoutDirectionAuto)
        option.setWrapMode(wrap)
        if tab_width is not None:
            option.setTabStopDistance(tab_width)
        self.setDefaultTextOption(option)

    def _write_spans(
        self, spans: Sequence[Span], cursor: QTextCursor, level: int = 0, extra: SpanStyle = SpanStyle.NONE
    ) -> None:
        for span in spans:
            if span.style & SpanStyle.MATH:
                self._write_formula(span, cursor, level)
            else:
                cursor.insertText(_safe(span.text), self._characters(span, level, extra))

    def _characters(self, span: Span, level: int, extra: SpanStyle = SpanStyle.NONE) -> QTextCharFormat:
        characters = self._sheet.characters(span.style | extra, level, is_link=bool(span.href))
        if span.href:
            characters.setAnchor(True)
            characters.setAnchorHref(span.href)
        return characters

    def _write_formula(self, span: Span, cursor: QTextCursor, level: int, is_alone: bool = False) -> None:
        key = self._formula_key(span, level, is_alone)
        formula = formulas().get(key)
        if not isinstance(formula, Formula):
            self.waiting.add(key)
            cursor.insertText(_safe(source_of_math(span)), self._characters(span, level))
            return
        self._sources[cursor.position()] = source_of_math(span)
        image = QTextImageFormat()
        image.setName(key.name)
        image.setWidth(formula.width)
        image.setHeight(formula.height)
        image.setFont(self._sheet.characters(level=level).font())
        if formula.is_centred:
            image.setVerticalAlignment(QTextCharFormat.VerticalAlignment.AlignMiddle)
        cursor.insertImage(image)

    def _formula_key(self, span: Span, level: int, is_alone: bool) -> FormulaKey:
        return FormulaKey(
            tex=span.text,
            is_display=bool(span.style & SpanStyle.DISPLAY),
            size_px=self._sheet.formula_size_px,
            color=self._sheet.text_color.name(),
            pixel_ratio=self._pixel_ratio,
            axis_px=None if is_alone else self._sheet.axis_px(level),
        )


def _colored(code: str, runs: Sequence[ColorRun]) -> Iterator[tuple[str, str]]:
    """The pieces of a listing, each with the token of its colour."""
    position = 0
    for run in runs:
        if run.start > position:
            yield code[position : run.start], "text"
        yield code[run.start : run.start + run.n_chars], run.color
        position = run.start + run.n_chars
    if position < len(code):
        yield code[position:], "text"


def _is_rtl(table: TableBlock) -> bool:
    """Whether a table reads from right to left, as its head does."""
    text = "".join(span.text for cell in table.rows[0] for span in cell) if table.rows else ""
    strong = next((direction for c in text if (direction := unicodedata.bidirectional(c)) in _STRONG), "L")
    return strong != "L"


def _has_formulas(spans: Sequence[Span]) -> bool:
    return any(span.style & SpanStyle.MATH for span in spans)


def _n_units(character: str) -> int:
    return 2 if ord(character) > 0xFFFF else 1


def _safe(text: str) -> str:
    return text.translate(_FORBIDDEN).replace("\n", _LINE_BREAK)
