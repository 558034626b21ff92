"""The conversation on the screen. ``Transcript`` is the widget, ``MessageView`` what it shows of a message.

Values and arithmetic (``message``, ``flow``, ``heights``, ``selection``) know no widgets; ``stage`` holds the widgets
of what is visible and ``page`` decides what that is; ``transcript`` ties them to Qt's events.
"""

from __future__ import annotations

from ui.widgets.markdown import preload
from ui.widgets.transcript.transcript import Transcript
from ui.widgets.transcript.view_model import MessageStatus, MessageView

__all__ = ["MessageStatus", "MessageView", "Transcript", "preload"]
