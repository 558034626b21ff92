"""Nothing leaks and nothing reaches the user: every test runs with its own folders and leaves no thread or process."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

STARTER_FILE_NAME = "SmolLM2-135M-Instruct-Q4_1.gguf"
GRACE_S = 5.0
"""How long what a test started may take to end after the test's own clean-up."""

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

_sandbox = Path(tempfile.mkdtemp(prefix="hearth-tests-"))
for _variable, _folder in (
    ("HEARTH_HOME", "hearth"),
    ("XDG_DATA_HOME", "data"),
    ("XDG_CONFIG_HOME", "config"),
    ("XDG_CACHE_HOME", "cache"),
    ("XDG_STATE_HOME", "state"),
):
    os.environ[_variable] = str(_sandbox / _folder)


def pytest_unconfigure() -> None:
    shutil.rmtree(_sandbox, ignore_errors=True)


@pytest.fixture(scope="session")
def starter_model() -> Path:
    """The starter model's file, where packaging/setup.sh keeps it: one copy for the whole checkout."""
    path = Path(sys.prefix) / "share" / "hearth" / STARTER_FILE_NAME
    if not path.is_file():
        pytest.fail(f"The starter model is missing: {path}. Call ./test without arguments once; it fetches the model.")
    return path


@pytest.fixture
def hearth_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HEARTH_HOME of this test's own, not yet made."""
    home = tmp_path / "hearth"
    monkeypatch.setenv("HEARTH_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a non-daemon thread, a child process or a running QThread behind."""
    threads = set(threading.enumerate())
    children = _children()
    yield
    deadline = time.monotonic() + GRACE_S
    leaks = _left_threads(threads, deadline) + _left_children(children, deadline)
    if {"qtbot", "qapp"} & set(request.fixturenames):
        leaks += _left_qthreads(deadline)
    if leaks:
        pytest.fail("Left running: " + "; ".join(leaks))


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _left_threads(before: set[threading.Thread], deadline: float) -> list[str]:
    started = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [f"thread {thread.name!r}" for thread in started if thread.is_alive()]


def _left_children(before: set[psutil.Process], deadline: float) -> list[str]:
    started = [process for process in _children() - before if not _is_resource_tracker(process)]
    left = psutil.wait_procs(started, max(0.0, deadline - time.monotonic()))[1]
    described = [f"process {process.pid} ({' '.join(process.cmdline())})" for process in left]
    for process in left:
        process.kill()
    return described


def _is_resource_tracker(process: psutil.Process) -> bool:
    """Python's own helper of multiprocessing; it lives as long as the interpreter."""
    try:
        return any("multiprocessing.resource_tracker" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _left_qthreads(deadline: float) -> list[str]:
    from PySide6.QtCore import QCoreApplication, QThread
    from shiboken6 import isValid

    application = QCoreApplication.instance()
    main_thread = application.thread() if application else None
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), QThread)]
    running = [t for t in found if isValid(t) and t is not main_thread and t.isRunning()]
    return [
        f"{type(thread).__name__} {thread.objectName()!r}"
        for thread in running
        if not thread.wait(max(0, int((deadline - time.monotonic()) * 1000)))
    ]
