from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.logs import setup_logging
from app.paths import Paths
from tests.doubles.small_disk import SmallDisk


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.below(tmp_path)
    paths.ensure()
    return paths


@pytest.fixture
def logging_to(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    # The former hooks are the test runner's, which would call this a failure of the test.
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    undo = setup_logging(paths, to_stderr=False)
    yield paths
    undo()


def test_records_go_to_the_log_file(logging_to: Paths) -> None:
    logging.getLogger("app.somewhere").info("loaded %d things", 3)
    assert "app.somewhere: loaded 3 things" in logging_to.log_file.read_text("utf-8")


def test_an_exception_nobody_caught_is_logged_with_its_traceback(logging_to: Paths) -> None:
    try:
        raise LookupError("nobody expects this")
    except LookupError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    text = logging_to.log_file.read_text("utf-8")
    assert "LookupError: nobody expects this" in text
    assert "test_logs.py" in text


def test_an_exception_in_a_thread_is_logged_with_the_threads_name(logging_to: Paths) -> None:
    def fail() -> None:
        raise LookupError("in a thread")

    thread = threading.Thread(target=fail, name="a-thread")
    thread.start()
    thread.join()
    text = logging_to.log_file.read_text("utf-8")
    assert "uncaught exception in a-thread" in text
    assert "LookupError: in a thread" in text


def test_ctrl_c_is_no_error(logging_to: Paths) -> None:
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert "KeyboardInterrupt" not in logging_to.log_file.read_text("utf-8")


def test_the_log_is_kept_small(logging_to: Paths) -> None:
    logger = logging.getLogger("app.chatty")
    for _ in range(500):
        logger.info("x" * 10_000)
    files = list(logging_to.logs.glob("hearth.log*"))
    assert len(files) == 3
    assert all(file.stat().st_size <= 1_000_000 for file in files)


def test_undoing_restores_hooks_handlers_and_level(paths: Paths) -> None:
    root = logging.getLogger()
    before = (sys.excepthook, threading.excepthook, list(root.handlers), root.level)
    setup_logging(paths, to_stderr=True)()
    assert (sys.excepthook, threading.excepthook, list(root.handlers), root.level) == before


def test_a_log_folder_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    undo = setup_logging(Paths.below(tmp_path / "missing"), to_stderr=False)
    logging.getLogger("app").info("into nothing")
    undo()


def test_a_full_disk_stops_nothing_and_logging_goes_on_when_there_is_room(
    small_disk: SmallDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = Paths.below(small_disk.root)
    paths.ensure()
    undo = setup_logging(paths, to_stderr=False)
    small_disk.fill()
    for _ in range(10):
        logging.getLogger("app").error("x" * 4096)
    small_disk.free()
    logging.getLogger("app").error("room again")
    undo()
    assert "room again" in paths.log_file.read_text("utf-8")
    assert capsys.readouterr().err == ""
