"""The near side: starts the child, waits for it as long as a file is worth, and tells how it died."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, BinaryIO, Protocol, cast

from engine.client.obituary import obituary
from engine.client.process import worker_environment
from engine.errors import ErrorInfo, ModelFileError, ModelNotSupported
from engine.gguf.summary import HeaderSummary
from engine.probe.child import summarise
from engine.probe.messages import Answer, Question, read_message, write_message

_COMMAND = (sys.executable, "-P", "-m", "engine.probe")
_HEADER_TIMEOUT_S = 10.0
_LLAMA_TIMEOUT_S = 18.0
_STDERR_TAIL_BYTES = 16 * 1024
_NO_CARD = {"CUDA_VISIBLE_DEVICES": "-1", "HIP_VISIBLE_DEVICES": "-1", "GGML_VK_VISIBLE_DEVICES": ""}
"""Weights are not read, so no card is needed, and a driver takes seconds to wake up."""


class Examiner(Protocol):
    """Thread: any. Raises ModelFileError for what cannot be used."""

    def __call__(self, path: Path, name: str, *, is_part: bool = False, by_llama: bool = False) -> HeaderSummary: ...


def examine_here(path: Path, name: str, *, is_part: bool = False, by_llama: bool = False) -> HeaderSummary:
    """In this process, and never by llama.cpp: for command lines, which have no window to lose."""
    return summarise(Question(str(path), name, is_part))


class HeaderProbe:
    """An examiner with a child process, which is started when it is needed. Thread: any, one file at a time."""

    def __init__(
        self,
        header_timeout_s: float = _HEADER_TIMEOUT_S,
        llama_timeout_s: float = _LLAMA_TIMEOUT_S,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._timeouts_s = (header_timeout_s, llama_timeout_s)
        self._command = command
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def __call__(self, path: Path, name: str, *, is_part: bool = False, by_llama: bool = False) -> HeaderSummary:
        """Raises ModelFileError, also where the child dies over the file or does not come to an end."""
        with self._lock:
            answer = self._ask(Question(str(path), name, is_part, by_llama))
        if answer.summary is None:
            assert answer.problem is not None
            raise _as_error(answer.problem)
        return answer.summary

    def rest(self) -> None:
        """End the child, when there is nothing more to read for a while."""
        with self._lock:
            if self._child is not None:
                self._child.end()
                self._child = None

    def _ask(self, question: Question) -> Answer:
        try:
            if self._child is not None and not self._child.is_alive:
                self._child.end()  # it died while it had nothing to do, which is no file's fault
                self._child = None
            self._child = self._child or _Child(self._command)
            answer = self._child.ask(question, self._timeouts_s[question.by_llama])
        except OSError as error:
            problem = ModelFileError(f"No process could be started to look at {question.name}: {error.strerror}.")
            return Answer(problem=ErrorInfo.of(problem))
        if answer is None:
            child, self._child = self._child, None
            return Answer(problem=child.last_words(question))
        return answer


class _Child:
    """One process. Its answers come by a thread, so that waiting for them can end."""

    def __init__(self, command: Sequence[str]) -> None:
        """Raises OSError where no process can be started."""
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._answers: SimpleQueue[Answer | None] = SimpleQueue()
        self._is_late = False
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=worker_environment(os.environ) | _NO_CARD,
            process_group=None if sys.platform == "win32" else 0,
        )
        self._reader = threading.Thread(target=self._read, name=f"probe-{self._process.pid}", daemon=True)
        self._reader.start()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: Question, timeout_s: float) -> Answer | None:
        """None where it died, or is ended because it does not answer."""
        try:
            write_message(cast(BinaryIO, self._process.stdin), question)
            return self._answers.get(timeout=timeout_s)
        except Empty:
            self._is_late = True
            self._process.kill()
        except OSError:
            pass  # it died before it read the question
        return None

    def last_words(self, question: Question) -> ErrorInfo:
        """Why there is no answer. It is gone after this."""
        exit_code = self._close()
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _STDERR_TAIL_BYTES))
        said = self._stderr.read().decode(errors="replace")
        self._stderr.close()
        hang = "It did not come to an end." if self._is_late else None
        died = obituary(question.name, exit_code=exit_code, stderr_tail=said, hang=hang, was_loading=True)
        return ErrorInfo("ModelFileError", died.text, died.hint, died.detail)

    def end(self) -> None:
        self._close()
        self._stderr.close()

    def _close(self) -> int:
        with suppress(OSError):
            cast(BinaryIO, self._process.stdin).close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._process.kill()
        exit_code = self._process.wait()
        self._reader.join()
        return exit_code

    def _read(self) -> None:
        with cast(BinaryIO, self._process.stdout) as stream:
            while (answer := read_message(stream, Answer)) is not None:
                self._answers.put(answer)
        self._answers.put(None)


def _as_error(problem: ErrorInfo) -> ModelFileError:
    kind = ModelNotSupported if problem.kind == ModelNotSupported.__name__ else ModelFileError
    return kind(problem.text, problem.hint)
