"""kill -9 of a process that writes pages: what is on disk afterwards is whole, and a new start uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.kv.container import read_header, read_payload
from tests.engine.kv.conftest import Make
from tests.engine.kv.ledger import text

REPOSITORY = Path(__file__).parents[3]
N_KILLS = 8


def write_until_killed(folder: Path, first: int, n_conversations: int) -> None:
    """Kill the writer as soon as it has so many conversations on disk, while it works on the next."""
    command = [sys.executable, "-m", "tests.engine.kv.writer", str(folder), str(first)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(n_conversations):
            assert process.stdout.readline(), "the writer died by itself"
        process.kill()


def check_files(folder: Path) -> None:
    for path in folder.glob("*/*.page"):
        with path.open("rb") as file:
            read_payload(file, read_header(file))


def test_a_killed_writer_leaves_whole_pages_and_a_new_start_uses_them(make: Make, tmp_path: Path) -> None:
    for number in range(N_KILLS):
        write_until_killed(tmp_path, first=100 * number, n_conversations=1 + number)
        check_files(tmp_path)

    ledger = make(folder=tmp_path, n_cells=128)

    for number in range(N_KILLS):
        lease = ledger.ask(text(100_000 * number, 21))
        assert lease.n_ready == lease.report.n_disk == 20
