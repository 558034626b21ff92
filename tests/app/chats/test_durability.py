"""A program that is killed loses nothing that it had reported as written."""

from __future__ import annotations

import random
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app.chats.database import Database
from app.chats.store import ChatStore
from app.chats.types import MessageState
from engine.errors import StorageError

N_KILLS = 20
MAX_ACKNOWLEDGED = 20
MAX_DELAY_S = 0.02
ROOT = Path(__file__).parents[3]

WRITER = """
import sys
from pathlib import Path
from app.chats.database import Database
from app.chats.store import ChatStore
from app.chats.types import AnswerUpdate, MessageState

store = ChatStore(Path(sys.argv[1]))
store.interrupt_streaming()
n = 0
while True:
    n += 1
    answer = store.add_question(None if n % 7 == 0 else store.conversations()[0].id if n > 1 else None, f"question {n}")
    print(answer.parent_id, f"question {n}", flush=True)
    for state in (MessageState.STREAMING, MessageState.COMPLETE):
        store.save_answers([AnswerUpdate(answer.id, f"answer {n} " * 300, state)])
    print(answer.id, f"answer {n} ", flush=True)
"""


def run_until_killed(path: Path, choice: random.Random) -> dict[int, str]:
    """The texts that a writer acknowledged, by message id, before it was killed at some moment."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(choice.randint(1, MAX_ACKNOWLEDGED))]
        select.select([], [], [], choice.uniform(0, MAX_DELAY_S))  # any moment will do, so it is a random one
        writer.kill()
        lines += [line for line in writer.stdout if line.endswith("\n")]
    assert writer.returncode == -signal.SIGKILL
    return {int(number): text for number, _, text in (line.rstrip("\n").partition(" ") for line in lines)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_every_acknowledged_message_survives_kill_9_at_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "hearth.db"
    choice = random.Random(20_24)
    acknowledged: dict[int, str] = {}
    for _ in range(N_KILLS):
        acknowledged |= run_until_killed(path, choice)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            contents = dict(connection.execute("SELECT id, content FROM messages"))
        assert [number for number, text in acknowledged.items() if not contents.get(number, "").startswith(text)] == []
    store = ChatStore(path)
    assert store.problem is None
    store.interrupt_streaming()
    states = {m.state for c in store.conversations() for m in store.thread(c.id).messages}
    store.close()
    assert states == {MessageState.COMPLETE, MessageState.INTERRUPTED}


def test_a_transaction_waits_for_the_disk_unless_it_says_otherwise(tmp_path: Path) -> None:
    full, normal = 2, 1
    database = Database(tmp_path / "hearth.db")
    with database.write() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (full,)
    with database.write(durable=False) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (normal,)
    database.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "hearth.db")
    insert = "INSERT INTO conversations (title, created_at_s, updated_at_s, activity) VALUES ('a', 0, 0, 1)"

    def insert_and_fail(error: Exception) -> None:
        with database.write() as connection:
            connection.execute(insert)
            raise error

    for error in (ZeroDivisionError(), sqlite3.IntegrityError("constraint")):
        with pytest.raises((ZeroDivisionError, StorageError)):
            insert_and_fail(error)
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM conversations").fetchone() == (0,)
    database.close()
