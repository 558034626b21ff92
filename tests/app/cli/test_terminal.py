from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.terminal import Terminal, exit_code
from app.cli.words import count_text, size_text, table
from engine.errors import KnownError

ROOT = Path(__file__).resolve().parents[3]


def make_terminal(stdin: str = "") -> Terminal:
    return Terminal(io.StringIO(stdin), io.StringIO(), io.StringIO())


def test_a_known_error_is_a_sentence_and_exit_code_1() -> None:
    terminal = make_terminal()

    def command() -> int:
        raise KnownError("The disk is full.", "Free some space.")

    assert exit_code(command, terminal) == 1
    assert isinstance(terminal.stderr, io.StringIO)
    assert terminal.stderr.getvalue() == "The disk is full. Free some space.\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 // 0, make_terminal())


def test_an_interrupt_has_the_usual_code() -> None:
    def command() -> int:
        raise KeyboardInterrupt

    assert exit_code(command, make_terminal()) == 130


def test_a_reader_that_goes_away_causes_no_complaint() -> None:
    script = (
        "from app.cli.terminal import Terminal, exit_code\n"
        "terminal = Terminal.of_process()\n"
        "def command():\n"
        "    while True: terminal.write('x' * 1000)\n"
        "raise SystemExit(exit_code(command, terminal))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_lines_are_asked_for_until_the_input_ends() -> None:
    terminal = make_terminal("one\n\nthree")
    assert [terminal.ask("> ") for _ in range(4)] == ["one", "", "three", None]
    assert isinstance(terminal.stdout, io.StringIO)
    assert terminal.stdout.getvalue() == "> > > > "


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table([("a", "bbb", "c"), ("aaaa", "b", "")]) == "a     bbb  c\naaaa  b"


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 bytes"), (999, "999 bytes"), (98_000_000, "98 MB"), (4_683_073_248, "4.7 GB")]
)
def test_sizes_are_decimal(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def test_counts_are_short() -> None:
    assert [count_text(n) for n in (7, 134_515_008, 8_030_261_248)] == ["7", "135 M", "8.0 B"]
