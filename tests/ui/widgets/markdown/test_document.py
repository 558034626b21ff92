"""Documents of blocks: what they show, and that they load nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QImage, QPainter, QTextDocument
from pytestqt.qtbot import QtBot

from ui.widgets.markdown.blocks import Block, CodeBlock, PlainBlock, Span, SpanStyle, TextBlock
from ui.widgets.markdown.document import BlockDocument, n_positions
from ui.widgets.markdown.formulas import formulas
from ui.widgets.markdown.highlight import runs
from ui.widgets.markdown.sheet import sheet
from ui.widgets.markdown.stream import MarkdownStream, plain_blocks

# ziamath finds its fonts in a way that Python 3.11 and 3.12 call deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:path is deprecated:DeprecationWarning")

EVIL = """# Hi
<script>alert(1)</script><img src="ADDRESS/x.png"><img src="file:///etc/passwd">
![t](ADDRESS/track.png) ![f](file:///etc/hostname) ![d](data:image/png;base64,iVBORw0KGgo=)
[l](javascript:alert(1)) <a href="file:///etc/passwd">f</a> <style>body{background:url(ADDRESS/b.png)}</style>
<b onclick="x">bold</b> <iframe src="ADDRESS/"></iframe> a < b && c > d  vec<int>

![r][pic] | x |
--- | ---
![c](ADDRESS/cell.png) | y

<link rel="stylesheet" href="ADDRESS/s.css">

[pic]: ADDRESS/ref.png
"""


@pytest.fixture
def address() -> Iterator[tuple[str, list[str]]]:
    """Where a server listens on this machine, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def blocks_of(text: str) -> list[Block]:
    stream = MarkdownStream()
    stream.feed(text)
    stream.finish()
    stream.advance()
    return list(stream.blocks)


def filled(block: Block) -> BlockDocument:
    document = BlockDocument()
    document.fill(block, sheet(), 1.0)
    return document


def draw(document: QTextDocument) -> None:
    document.setTextWidth(500)
    image = QImage(500, 300, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    document.drawContents(painter)
    painter.end()


def addresses_in(document: QTextDocument) -> list[str]:
    found = []
    block = document.begin()
    while block.isValid():
        fragments = block.begin()
        while not fragments.atEnd():
            characters = fragments.fragment().charFormat()
            if characters.isAnchor():
                found.append(characters.anchorHref())
            fragments += 1
        block = block.next()
    return found


def test_hostile_text_asks_for_nothing_and_leads_only_to_the_web(qtbot: QtBot, address: tuple[str, list[str]]) -> None:
    home, asked = address
    documents = [filled(block) for block in blocks_of(EVIL.replace("ADDRESS", home))]

    for document in documents:
        draw(document)
    qtbot.wait(50)

    assert asked == []
    links = [link for document in documents for link in addresses_in(document)]
    assert links
    assert all(link.startswith(home) for link in links)


def test_hostile_text_is_shown_as_text() -> None:
    shown = "\n".join(filled(block).toPlainText() for block in blocks_of(EVIL))

    for piece in ("<script>alert(1)</script>", '<b onclick="x">bold</b>', "vec<int>", "javascript:alert(1)", "<iframe"):
        assert piece in shown


@pytest.mark.parametrize("name", ["file:///etc/hostname", "http://127.0.0.1/x.png", "/etc/hostname", "qrc:/x", "x.png"])
def test_a_document_has_no_other_resources_than_formulas(name: str) -> None:
    document = BlockDocument()

    assert document.resource(QTextDocument.ResourceType.ImageResource.value, QUrl(name)) is None


def test_a_formula_is_source_until_it_is_drawn_and_copies_as_source(qtbot: QtBot) -> None:
    block = TextBlock(spans=(Span("😀 so "), Span("a_1", SpanStyle.MATH), Span(" is")))
    document = filled(block)
    assert document.toPlainText() == "😀 so $a_1$ is"
    assert len(document.waiting) == 1

    qtbot.waitUntil(lambda: not filled(block).waiting, timeout=20_000)
    document.fill(block, sheet(), 1.0)

    assert "\ufffc" in document.toPlainText()
    assert document.text_between(0, document.characterCount() - 1) == "😀 so $a_1$ is"
    assert formulas().image(next(iter(document_images(document)))) is not None


def document_images(document: QTextDocument) -> Iterator[str]:
    fragments = document.begin().begin()
    while not fragments.atEnd():
        characters = fragments.fragment().charFormat()
        if characters.isImageFormat():
            yield characters.toImageFormat().name()
        fragments += 1


def test_a_line_break_is_no_new_paragraph() -> None:
    document = filled(TextBlock(spans=(Span("a\nb"),)))

    assert document.blockCount() == 1
    assert document.text_between(0, 3) == "a\nb"


@pytest.mark.parametrize("character", ["\u2029", "\ufdd0", "\ufdd1", "\ufffc", "\x00"])
def test_characters_that_mean_something_to_qt_do_nothing(character: str) -> None:
    document = filled(PlainBlock(text=f"a{character}b"))

    assert document.blockCount() == 1
    assert len(document.rootFrame().childFrames()) == 0


@pytest.mark.parametrize("text", ["a", "é", "日本", "😀", "a😀\ud800b"])
def test_positions_count_as_qt_counts(text: str) -> None:
    assert n_positions(text) == filled(PlainBlock(text=text)).characterCount() - 1


def test_a_listing_can_be_written_on_from_any_position() -> None:
    code = 's = "😀"\nreturn 1\n'
    document = BlockDocument()
    document.write_code(0, code, runs(code, "python"), sheet())
    document.write_code(n_positions(code), "x = 2", (), sheet())
    document.write_code(n_positions('s = "😀"\n'), "return 3", runs("return 3", "python"), sheet())

    assert document.toPlainText() == 's = "😀"\nreturn 3'


def test_text_from_right_to_left_stands_on_the_right() -> None:
    document = filled(TextBlock(spans=(Span("مرحبا بالعالم"),)))
    draw(document)

    line = document.firstBlock().layout().lineAt(0)

    assert line.naturalTextRect().right() == pytest.approx(500, abs=1)


def test_tables_of_right_to_left_languages_begin_on_the_right() -> None:
    [block] = blocks_of("| العمود | القيمة |\n|---|---|\n| أ | ب |\n")

    assert filled(block).toPlainText().split() == ["القيمة", "العمود", "ب", "أ"]


def test_a_listing_takes_its_lines_and_no_more() -> None:
    document = BlockDocument()
    document.write_code(0, "a\nb\nc", (), sheet())

    assert document.size().height() == 3 * sheet().code_line_height


def test_every_piece_of_a_long_message_is_laid_out_alone() -> None:
    assert all(filled(block).characterCount() <= 4_002 for block in plain_blocks("x" * 100_000))


def test_a_listing_is_no_block_to_fill() -> None:
    assert filled(CodeBlock(text="x")).isEmpty()
