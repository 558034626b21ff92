"""One worker process, as three small threads and a queue see it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, BinaryIO, cast

import psutil

from engine.commands import Command
from engine.events import Event
from engine.wire import FrameWriter, WireError, event_reader

_STDERR_TAIL_BYTES = 64 * 1024
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "LLAMA_CPP_LIB_PATH",
    "PYTHONPATH",
)
_ENVIRONMENT_PREFIXES = ("LC_", "OMP_", "GOMP_", "KMP_", "GGML_", "CUDA_", "HIP_", "ROCR_", "VK_", "SYCL_", "ONEAPI_")


@dataclass(frozen=True, slots=True)
class WorkerSaid:
    worker: WorkerProcess
    event: Event


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """The process is gone and everything it said has been delivered before this."""

    worker: WorkerProcess
    exit_code: int


class WorkerProcess:
    """A running worker. Its events, and at last its end, are handed to ``deliver`` on the reader's thread.

    Thread: any. Sending never blocks: a writer thread of its own waits where the pipe of a stopped process is full.
    """

    def __init__(self, deliver: Callable[[WorkerSaid | WorkerEnded], None]) -> None:
        """Raises OSError where no process can be started."""
        self._deliver = deliver
        self._outbox: SimpleQueue[Command | None] = SimpleQueue()
        self._stderr_tail: deque[bytes] = deque()
        self._process = subprocess.Popen(
            worker_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(os.environ),
            process_group=None if sys.platform == "win32" else 0,  # Ctrl+C in a terminal is not for the worker
        )
        self._stderr_thread = self._start(self._drain_stderr, "worker-stderr")
        self._writer_thread = self._start(self._write, "worker-writer")
        self._reader_thread = self._start(self._read, "worker-reader")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stderr_tail(self) -> str:
        return b"".join(self._stderr_tail).decode(errors="replace")

    def send(self, command: Command) -> None:
        self._outbox.put(command)

    def is_stopped(self) -> bool:
        """Whether the system holds the process still (SIGSTOP, a debugger)."""
        try:
            return psutil.Process(self.pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        except psutil.Error:
            return False

    def kill(self) -> None:
        """End it now, whatever it does. WorkerEnded follows."""
        self._process.kill()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the process and its threads are gone, or the time is over."""
        self._reader_thread.join(timeout_s)
        if not self._reader_thread.is_alive():
            self._writer_thread.join()
            self._stderr_thread.join()

    def _start(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"{name}-{self.pid}", daemon=True)
        thread.start()
        return thread

    def _read(self) -> None:
        stream = cast(BinaryIO, self._process.stdout)
        reader = event_reader(stream)
        try:
            while (event := reader.read()) is not None:
                self._deliver(WorkerSaid(self, event))
        except (WireError, OSError):
            self.kill()  # whoever writes such frames is not our worker any more
        exit_code = self._process.wait()
        self._outbox.put(None)
        self._stderr_thread.join()
        stream.close()
        self._deliver(WorkerEnded(self, exit_code))

    def _write(self) -> None:
        stream = cast(BinaryIO, self._process.stdin)
        writer = FrameWriter(stream)
        with suppress(OSError):  # it died; the reader tells
            while (command := self._outbox.get()) is not None:
                writer.write(command)
        with suppress(OSError):
            stream.close()

    def _drain_stderr(self) -> None:
        stream = cast(IO[bytes], self._process.stderr)
        n_bytes = 0
        while chunk := os.read(stream.fileno(), 8192):
            self._stderr_tail.append(chunk)
            n_bytes += len(chunk)
            while n_bytes - len(self._stderr_tail[0]) > _STDERR_TAIL_BYTES:
                n_bytes -= len(self._stderr_tail.popleft())
        stream.close()


def worker_command() -> list[str]:
    return [sys.executable, "-P", "-m", "engine.worker"]


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a worker may know of our environment: what its libraries need, and no token, key or proxy password."""
    kept = {
        name: value
        for name, value in environment.items()
        if name.upper() in _ENVIRONMENT or name.upper().startswith(_ENVIRONMENT_PREFIXES)
    }
    root = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))
    kept["GGML_NO_BACKTRACE"] = "1"  # without it an abort runs a debugger, for seconds
    return kept
