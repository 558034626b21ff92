"""The rows of the downloads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.downloads import DownloadItem, DownloadState
from engine.errors import ErrorInfo
from ui.library.downloads_view import DownloadsView
from ui.library.words import queue_words

GB = 10**9
RUNNING = DownloadItem("1", "Tiny Q4_K_M", "maker/Tiny", DownloadState.RUNNING, 3 * GB, 5 * GB, 41e6, 46.0, ())
WAITING = replace(RUNNING, id="2", name="Large Q8_0", state=DownloadState.WAITING, done_bytes=0, bytes_per_s=0)
FULL = ErrorInfo("NoRoom", "The disk has no room for it.", "Delete something.")


@pytest.fixture
def view(qtbot: QtBot) -> DownloadsView:
    made = DownloadsView()
    qtbot.addWidget(made)
    made.show()
    return made


def test_a_running_download_shows_progress_speed_and_time_left(view: DownloadsView) -> None:
    view.show_items((RUNNING,))

    assert view.rows()[0].text == "Tiny Q4_K_M, 3.0 GB of 5.0 GB · 41 MB/s · 46 s left"


def test_a_failed_one_says_why_and_can_be_tried_again(view: DownloadsView, qtbot: QtBot) -> None:
    problem = ErrorInfo("DownloadError", "The file has changed.", "Get it again.")
    view.show_items((replace(RUNNING, state=DownloadState.FAILED, problem=problem),))
    row = view.rows()[0]

    assert "The file has changed. Get it again." in row.text
    assert not row.make_room.isVisible()
    with qtbot.waitSignal(view.resume_wanted) as asked:
        qtbot.mouseClick(row.pause, Qt.MouseButton.LeftButton)
    assert asked.args == ["1"]


def test_a_full_disk_leads_to_what_can_go(view: DownloadsView, qtbot: QtBot) -> None:
    view.show_items((replace(RUNNING, state=DownloadState.FAILED, problem=FULL),))

    with qtbot.waitSignal(view.room_wanted):
        qtbot.mouseClick(view.rows()[0].make_room, Qt.MouseButton.LeftButton)


def test_order_changes_and_rows_stay_the_same_widgets(view: DownloadsView, qtbot: QtBot) -> None:
    view.show_items((RUNNING, WAITING))
    first, second = view.rows()
    with qtbot.waitSignal(view.move_wanted) as asked:
        qtbot.mouseClick(second.up, Qt.MouseButton.LeftButton)
    assert asked.args == ["2", 0]

    view.show_items((WAITING, RUNNING))
    assert view.rows() == [second, first]
    assert not second.up.isEnabled()


def test_the_rail_counts_what_is_under_way() -> None:
    failed = replace(RUNNING, id="3", state=DownloadState.FAILED, problem=FULL)

    assert queue_words(()) == ("", None, False)
    assert queue_words((RUNNING, replace(RUNNING, state=DownloadState.DONE))) == ("1 download, 60%", 0.6, False)
    assert queue_words((WAITING, failed))[0] == "2 downloads, 30%, 1 failed"
