"""Where a command reads and writes, and the edge at which its errors become an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from engine.errors import KnownError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Terminal:
    """Answers go to ``stdout``, everything about them to ``stderr``, so that a pipe gets the answers alone."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO

    @classmethod
    def of_process(cls) -> Terminal:
        return cls(sys.stdin, sys.stdout, sys.stderr)

    @property
    def is_interactive(self) -> bool:
        """Whether a person types here, not a pipe or a file."""
        return self.stdin.isatty()

    def write(self, text: str) -> None:
        """Show now, also in the middle of a line. Raises BrokenPipeError when the reader has gone."""
        self.stdout.write(text)
        self.stdout.flush()

    def note(self, text: str, end: str = "\n") -> None:
        self.stderr.write(text + end)
        self.stderr.flush()

    def ask(self, prompt: str) -> str | None:
        """One line from a person, without its end; None when there are no more (Ctrl+D).

        Raises KeyboardInterrupt on Ctrl+C.
        """
        if self.stdin is sys.stdin and self.stdout is sys.stdout:
            return _ask_with_editing(prompt)
        self.write(prompt)
        line = self.stdin.readline()
        return line.rstrip("\n") if line else None


def _ask_with_editing(prompt: str) -> str | None:
    """Like ``input``, with the arrow keys and a history of this run where the system has readline."""
    with suppress(ImportError):
        import readline  # noqa: F401 - importing it is what changes input()
    try:
        return input(prompt)
    except EOFError:
        return None


def exit_code(command: Callable[[], int], terminal: Terminal) -> int:
    """Run a command. What it could not help becomes a sentence and an exit code; a bug stays a traceback."""
    try:
        return command()
    except KnownError as error:
        terminal.note(str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        terminal.note("")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone (`./run models | head`). Python would complain once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), terminal.stdout.fileno())
        return EXIT_FAILED
