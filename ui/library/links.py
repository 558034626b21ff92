"""Addresses lead out of the window only after the user has seen them."""

from __future__ import annotations

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QWidget

from ui.widgets.markdown.blocks import is_safe_link
from ui.widgets.overlay import Sheet


def ask_to_open(widget: QWidget, address: str) -> None:
    """Show an address and open it in the browser if the user says so. Anything but the web and mail is ignored."""
    if not is_safe_link(address):
        return
    url = QUrl(address)
    sheet = Sheet(widget.window(), "Open this link?", url.toDisplayString())
    sheet.add_button("Cancel")
    sheet.add_button("Open", lambda: QDesktopServices.openUrl(url), "primary")
    sheet.open()
