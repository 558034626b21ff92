"""The chat as a person has it: a process on a terminal, with the starter model."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from app.paths import Paths
from app.settings import SettingsStore

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-P", "-m", "app", "chat"]
PATIENCE_S = 60.0
CTRL_C, CTRL_D = "\x03", "\x04"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("setsid") is None, reason="needs a controlling terminal"),
]


class TypedAt:
    """A process, seen and typed at through its terminal."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.screen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> str:
        """What has appeared since the last call, up to ``text``."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.screen:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._master], [], [], left)[0]
            assert ready, f"no {text!r} in {self.screen!r}"
            self.screen += os.read(self._master, 4096).decode(errors="replace")
        seen, _, self.screen = self.screen.partition(text)
        return seen


@pytest.fixture
def environment(hearth_home: Path, starter_model: Path) -> dict[str, str]:
    paths = Paths.below(hearth_home)
    paths.ensure()
    (paths.models / starter_model.name).symlink_to(starter_model)
    SettingsStore(paths.settings_file).update(temperature=0.0)  # the same answers every time
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}


@contextmanager
def on_a_terminal(environment: dict[str, str]) -> Iterator[tuple[TypedAt, subprocess.Popen[bytes]]]:
    master, slave = os.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *COMMAND], stdin=slave, stdout=slave, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        try:
            yield TypedAt(master), process
        finally:
            process.kill()
            os.close(master)


def workers_of(process: subprocess.Popen[bytes]) -> set[int]:
    """The worker processes below ``process``, by their ids."""
    children = psutil.Process(process.pid).children(recursive=True)
    return {child.pid for child in children if "engine.worker" in child.cmdline()}


def test_ctrl_c_stops_the_answer_and_spares_the_worker(environment: dict[str, str]) -> None:
    with on_a_terminal(environment) as (person, process):
        person.wait_for("> ")
        person.type("Tell me a very long story about the sea.\n")
        person.wait_for("story about the sea.\r\n")
        person.wait_for(" ")
        workers = workers_of(process)
        person.type(CTRL_C)
        person.wait_for(", stopped]")
        person.wait_for("> ")
        person.type("Say hello.\n")
        person.wait_for("Say hello.\r\n")
        person.wait_for(" ")
        person.type(CTRL_C)
        person.wait_for("> ")
        assert workers_of(process) == workers
        person.type(CTRL_D)
        assert process.wait(PATIENCE_S) == 0


def test_a_prompt_is_answered_without_a_terminal(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*COMMAND, "--prompt", "What is the capital of France? Answer in one word."],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
