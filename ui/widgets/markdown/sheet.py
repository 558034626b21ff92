"""The formats in which documents are written: made from the theme once, and again when it changes."""

from __future__ import annotations

from functools import cached_property, lru_cache

from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetrics,
    QFontMetricsF,
    QTextBlockFormat,
    QTextCharFormat,
    QTextFormat,
    QTextFrameFormat,
    QTextLength,
    QTextTableCellFormat,
    QTextTableFormat,
)

from ui.theme import theme
from ui.widgets.markdown.blocks import Alignment, SpanStyle

IS_INLINE_CODE = QTextFormat.Property.UserProperty + 1
"""Set on characters that the view paints a soft ground behind."""

_HEADING_SCALES = (4 / 3, 6 / 5, 16 / 15, 1.0, 1.0, 1.0)
_HEADING_LINE = 4 / 3
_N_TAB_SPACES = 4
_SCRIPT_SCALE = 1.15
"""The letters of ziamath's font are smaller than those of the reading font of the same size."""

_ALIGNMENTS = {
    Alignment.START: Qt.AlignmentFlag.AlignLeading,
    Alignment.CENTER: Qt.AlignmentFlag.AlignHCenter,
    Alignment.END: Qt.AlignmentFlag.AlignTrailing,
}


def sheet() -> Sheet:
    """The formats in the colours of now."""
    return _sheet(theme.is_dark)


@lru_cache(maxsize=2)
def _sheet(is_dark: bool) -> Sheet:
    return Sheet()


class Sheet:
    def __init__(self) -> None:
        self._formats: dict[tuple[SpanStyle, int, bool], QTextCharFormat] = {}
        self._colors: dict[str, QTextCharFormat] = {}
        self._cells: dict[tuple[bool, bool, bool], QTextTableCellFormat] = {}

    @cached_property
    def reading_font(self) -> QFont:
        return theme.font("reading")

    @cached_property
    def quiet_font(self) -> QFont:
        return theme.font("ui")

    @cached_property
    def code_font(self) -> QFont:
        return theme.font("code")

    @property
    def formula_size_px(self) -> float:
        return self.reading_font.pixelSize() * _SCRIPT_SCALE

    @cached_property
    def text_color(self) -> QColor:
        return theme.color("text")

    @cached_property
    def code_ground(self) -> QColor:
        return theme.color("raise")

    @cached_property
    def code_line_height(self) -> int:
        return theme.line_height("code")

    def characters(self, style: SpanStyle = SpanStyle.NONE, level: int = 0, is_link: bool = False) -> QTextCharFormat:
        """``level`` is that of the heading, 0 in a paragraph."""
        key = (style, level, is_link)
        found = self._formats.get(key)
        if found is None:
            found = self._formats[key] = self._make_characters(style, level, is_link)
        return QTextCharFormat(found)

    def colored(self, token: str) -> QTextCharFormat:
        """A part of a listing in the colour of a token."""
        found = self._colors.get(token)
        if found is None:
            found = self._colors[token] = QTextCharFormat()
            found.setFont(self.code_font)
            found.setForeground(theme.color(token))
        return found

    def paragraph(self, level: int = 0, grows: bool = False) -> QTextBlockFormat:
        """``grows``: lines may become higher than usual, as formulas need it."""
        kind = QTextBlockFormat.LineHeightTypes.MinimumHeight if grows else QTextBlockFormat.LineHeightTypes.FixedHeight
        height: float = theme.line_height("reading")
        if level:
            height = max(height, round(self._heading_size(level) * _HEADING_LINE))
        block = QTextBlockFormat()
        block.setLineHeight(height, kind.value)
        return block

    def quiet_characters(self) -> QTextCharFormat:
        characters = QTextCharFormat()
        characters.setFont(self.quiet_font)
        characters.setForeground(theme.color("dim"))
        return characters

    def quiet_paragraph(self) -> QTextBlockFormat:
        block = QTextBlockFormat()
        block.setLineHeight(theme.line_height("ui"), QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        return block

    def aligned(self, alignment: Alignment, grows: bool = False) -> QTextBlockFormat:
        block = self.paragraph(grows=grows)
        block.setAlignment(_ALIGNMENTS[alignment])
        return block

    def listing(self) -> QTextBlockFormat:
        block = QTextBlockFormat()
        block.setLineHeight(self.code_line_height, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        block.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        return block

    def table(self, is_rtl: bool) -> QTextTableFormat:
        table = QTextTableFormat()
        if is_rtl:
            table.setAlignment(Qt.AlignmentFlag.AlignRight)
        table.setBorder(0)
        table.setCellSpacing(0)
        table.setCellPadding(0)
        table.setBorderCollapse(True)
        table.setHeaderRowCount(1)
        table.setWidth(QTextLength(QTextLength.Type.VariableLength, 0))
        return table

    def cell(self, is_first: bool, is_head: bool, is_rtl: bool) -> QTextTableCellFormat:
        """A line below every row; text of the first column begins where the text above the table does."""
        key = (is_first, is_head, is_rtl)
        if key not in self._cells:
            self._cells[key] = self._make_cell(*key)
        return self._cells[key]

    def _make_cell(self, is_first: bool, is_head: bool, is_rtl: bool) -> QTextTableCellFormat:
        cell = QTextTableCellFormat()
        cell.setTopPadding(theme.space(1) / 2)
        cell.setBottomPadding(theme.space(1) * 1.5)
        before, after = 0 if is_first else theme.space(3), theme.space(3)
        cell.setLeftPadding(after if is_rtl else before)
        cell.setRightPadding(before if is_rtl else after)
        cell.setBottomBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
        cell.setBottomBorder(theme.exact_size("line-width"))
        cell.setBottomBorderBrush(QBrush(theme.color("scroll" if is_head else "line")))
        return cell

    @cached_property
    def tab_width(self) -> float:
        return _N_TAB_SPACES * QFontMetricsF(self.code_font).horizontalAdvance(" ")

    def hidden_line(self) -> QTextBlockFormat:
        """For the empty paragraphs that a document must have around a table."""
        block = QTextBlockFormat()
        block.setLineHeight(0, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        return block

    def axis_px(self, level: int = 0) -> float:
        """How far above the baseline QTextDocument centres an image: half of the rounded height of an x."""
        return QFontMetrics(self.characters(level=level).font()).xHeight() / 2

    def _heading_size(self, level: int) -> int:
        return round(theme.font("heading").pixelSize() * _HEADING_SCALES[level - 1])

    def _make_characters(self, style: SpanStyle, level: int, is_link: bool) -> QTextCharFormat:
        is_code = bool(style & (SpanStyle.CODE | SpanStyle.MATH))
        font = QFont(self._font(level, is_code))
        if style & SpanStyle.BOLD and not level:
            font.setWeight(QFont.Weight.DemiBold)
        font.setItalic(bool(style & SpanStyle.ITALIC))
        font.setStrikeOut(bool(style & SpanStyle.STRIKE))
        characters = QTextCharFormat()
        characters.setFont(font)
        characters.setForeground(theme.color("accent") if is_link else self.text_color)
        if is_link:
            characters.setFontUnderline(True)
        if is_code:
            characters.setProperty(IS_INLINE_CODE, True)
        return characters

    def _font(self, level: int, is_code: bool) -> QFont:
        if is_code:
            return self.code_font
        if not level:
            return self.reading_font
        font = theme.font("heading")
        font.setPixelSize(self._heading_size(level))
        return font
