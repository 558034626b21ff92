"""The start, as another process sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("llama_cpp", "numpy", "markdown_it", "mdit_py_plugins", "pygments", "ziamath", "sqlite3", "jinja2")

START = """
import sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from engine.errors import StorageError
from ui.main import run_gui
from ui.main_window import MainWindow
"""
LEAVE_AT_ONCE = """
def services():
    QTimer.singleShot(0, QApplication.quit)
    raise StorageError("The disk is full.")
sys.exit(run_gui(services))
"""
LEAVE_WHEN_CALLED = """
def services():
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    raise StorageError("The disk is full.")
MainWindow.come_forward = lambda self: QApplication.exit(7)
sys.exit(run_gui(services))
"""


def start(code: str, home: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(START + code)],
        cwd=ROOT,
        env={**os.environ, "HEARTH_HOME": str(home), "QT_QPA_PLATFORM": "offscreen", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_first_paint_comes_before_anything_heavy_is_imported(hearth_home: Path, tmp_path: Path) -> None:
    report = tmp_path / "paint.json"

    with start(LEAVE_AT_ONCE, hearth_home, HEARTH_FIRST_PAINT_REPORT=str(report)) as process:
        assert process.wait(60) == 0

    told = json.loads(report.read_text())
    assert told["seconds"] > 0
    loaded = {name.split(".")[0] for name in told["modules"]}
    assert loaded.isdisjoint(HEAVY)
    assert not any(name.startswith(("app.library", "app.chats", "engine.backend")) for name in told["modules"])


def test_a_second_start_brings_the_first_window_forward(hearth_home: Path) -> None:
    with start(LEAVE_WHEN_CALLED, hearth_home) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "ready\n"

        with start(LEAVE_AT_ONCE, hearth_home) as second:
            assert second.wait(60) == 0

        assert first.wait(60) == 7


def test_another_data_folder_is_another_hearth(hearth_home: Path, tmp_path: Path) -> None:
    with start(LEAVE_WHEN_CALLED, hearth_home) as first:
        assert first.stdout is not None
        first.stdout.readline()

        with start(LEAVE_AT_ONCE, tmp_path / "other") as second:
            assert second.wait(60) == 0
        assert first.poll() is None

        first.terminate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_window_as_its_button_does(hearth_home: Path, number: signal.Signals) -> None:
    with start(LEAVE_WHEN_CALLED, hearth_home) as process:
        assert process.stdout is not None
        process.stdout.readline()

        process.send_signal(number)

        assert process.wait(60) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_data_folder_that_cannot_be_written_does_not_keep_the_window_away(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)

    with start(LEAVE_AT_ONCE, locked / "hearth") as process:
        assert process.wait(60) == 0


def test_a_data_folder_that_cannot_exist_does_not_keep_the_window_away(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    with start(LEAVE_AT_ONCE, file / "hearth") as process:
        assert process.wait(60) == 0
