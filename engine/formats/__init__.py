"""How models write what is not plain text: their reasoning, and calls of tools.

Every family has a form of its own. ``format_of`` tells by a chat template which one a model speaks; a ``Format`` then
parses an answer while it streams, and writes the grammar that makes a model call. Adding a family means one entry in
``families.py``, and a coroutine in ``calls.py`` if its calls look like no other's.
"""

from __future__ import annotations

from engine.formats.families import Format, format_of
from engine.formats.grammar import call_grammar
from engine.formats.offered import Offered
from engine.formats.pieces import Piece, Reasoning, Text
from engine.formats.stream import AnswerStream, open_stream

__all__ = [
    "AnswerStream",
    "Format",
    "Offered",
    "Piece",
    "Reasoning",
    "Text",
    "call_grammar",
    "format_of",
    "open_stream",
]
