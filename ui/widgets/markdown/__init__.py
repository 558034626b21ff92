"""Markdown as values, and those values as text documents. Nothing in here fetches, opens or runs anything.

``stream`` turns growing text into blocks (``blocks``), reading with ``parser``; ``document`` fills a QTextDocument
with one block in the formats of ``sheet``; formulas (``formulas``) and long listings (``highlight``) are worked on
in the background (``background``) and told when they are ready. markdown_it, pygments, ziamath and QtSvg are
imported when they are first needed; :func:`preload` does it ahead of time.
"""

from __future__ import annotations


def preload() -> None:
    """Import what is imported late otherwise. Takes some tenths of a second. Thread: any but the GUI's."""
    import ui.widgets.markdown.formulas
    import ui.widgets.markdown.highlight
    import ui.widgets.markdown.parser

    ui.widgets.markdown.parser.preload()
    ui.widgets.markdown.highlight.preload()
    ui.widgets.markdown.formulas.preload()
