"""Sets the worker's process up: its pipes, its place in the system, its threads."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import BinaryIO, NoReturn

from engine.commands import Command, Shutdown
from engine.events import Event, Heartbeat
from engine.wire import FrameReader, FrameWriter, WireError, command_reader
from engine.worker.loop import WorkerLoop

HEARTBEAT_S = 0.5
BEATS_A_LOOK = 2
"""How often what the devices have left is looked at."""
LAST_WORDS_S = 2.0
"""How long a worker may take to save what it remembers before it must be gone."""


def main() -> None:
    commands, events = _take_pipes()
    _settle()
    writer = FrameWriter(events)
    inbox: SimpleQueue[Command | None] = SimpleQueue()
    loop = WorkerLoop(partial(next_command, inbox), _Emitter(writer), wake=partial(inbox.put, None))
    threading.Thread(target=_read, args=(command_reader(commands), inbox, loop), name="pipe", daemon=True).start()
    threading.Thread(target=_beat, args=(writer, loop), name="heartbeat", daemon=True).start()
    loop.run()
    _leave(0)


def next_command(inbox: SimpleQueue[Command | None], timeout_s: float | None) -> Command | None:
    """The next command. None: there is none, or something else than a command ended the wait (a None in the inbox)."""
    try:
        command = inbox.get(timeout=timeout_s) if timeout_s != 0 else inbox.get_nowait()
        while command is None:
            command = inbox.get_nowait()
        return command
    except Empty:
        return None


class _Emitter:
    """Sends events; where nobody listens any more, the worker has no reason to live."""

    def __init__(self, writer: FrameWriter) -> None:
        self._writer = writer

    def __call__(self, event: Event) -> None:
        try:
            self._writer.write(event)
        except OSError:
            _leave(0)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes for frames alone: whatever a library prints to stdout goes to stderr from here on."""
    commands = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, events


def _settle() -> None:
    """No core files of gigabytes, and the first to go when the system runs out of memory."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        try:
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
                file.write("500")
        except OSError:
            pass  # some containers forbid it; nothing depends on it


def _read(reader: FrameReader[Command], inbox: SimpleQueue[Command | None], loop: WorkerLoop) -> None:
    """Pass commands on. A batch that should not keep them waiting is interrupted.

    The end of the pipe means that nobody is there any more: the same as Shutdown.
    """
    command: Command | None = None
    while not isinstance(command, Shutdown):
        try:
            command = reader.read() or Shutdown()
        except (WireError, OSError):
            _leave(3)
        inbox.put(command)
        loop.hasten(command)
    threading.Event().wait(LAST_WORDS_S)
    _leave(0)


def _beat(writer: FrameWriter, loop: WorkerLoop) -> None:
    pause, n_beats = threading.Event(), 0
    while not pause.wait(HEARTBEAT_S):
        try:
            writer.write(Heartbeat(loop.n_steps, loop.is_busy))
            n_beats += 1
            if n_beats % BEATS_A_LOOK == 0 and (devices := loop.devices()) is not None:
                writer.write(devices)
        except OSError:
            _leave(0)


def _leave(code: int) -> NoReturn:
    """End at once, also in the middle of a batch."""
    os._exit(code)
