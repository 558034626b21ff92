from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from app.jobs import CancelToken, IoPool
from engine.errors import Cancelled


@pytest.fixture
def io() -> Iterator[IoPool]:
    pool = IoPool()
    yield pool
    pool.close()


def test_work_runs_on_another_thread_and_gives_its_result(io: IoPool) -> None:
    assert io.run(pow, 2, 5).result() == 32
    assert io.run(threading.get_ident).result() != threading.get_ident()


def test_an_exception_reaches_whoever_waits(io: IoPool) -> None:
    for submit in (io.run, io.serial("x").submit):
        with pytest.raises(ZeroDivisionError):
            submit(divmod, 1, 0).result()


def test_two_things_run_at_the_same_time(io: IoPool) -> None:
    meeting = threading.Barrier(2, timeout=10)
    for future in [io.run(meeting.wait), io.run(meeting.wait)]:
        future.result()


def test_a_serial_queue_keeps_the_order_and_never_runs_two_at_once(io: IoPool) -> None:
    queue = io.serial("chats")
    alone = threading.Lock()
    order: list[int] = []

    def work(n: int) -> bool:
        if not alone.acquire(blocking=False):
            return False
        order.append(n)
        alone.release()
        return True

    futures = [queue.submit(work, n) for n in range(200)]
    assert all(future.result() for future in futures)
    assert order == list(range(200))


def test_a_failure_does_not_end_a_serial_queue(io: IoPool) -> None:
    queue = io.serial("chats")
    failing = queue.submit(divmod, 1, 0)
    assert queue.submit(pow, 2, 3).result() == 8
    assert isinstance(failing.exception(), ZeroDivisionError)


def test_what_is_cancelled_before_its_turn_never_runs(io: IoPool) -> None:
    queue = io.serial("chats")
    gate = threading.Event()
    ran: list[str] = []
    queue.submit(gate.wait)
    unwanted = queue.submit(ran.append, "unwanted")
    assert unwanted.cancel()
    gate.set()
    queue.submit(ran.append, "wanted").result()
    assert ran == ["wanted"]


def test_queues_are_shared_by_name_and_do_not_wait_for_each_other(io: IoPool) -> None:
    assert io.serial("chats") is io.serial("chats")
    meeting = threading.Barrier(2, timeout=10)
    for future in [io.serial("a").submit(meeting.wait), io.serial("b").submit(meeting.wait)]:
        future.result()


def test_closing_waits_for_everything_that_was_accepted() -> None:
    pool = IoPool(n_threads=1)
    gate = threading.Event()
    done: list[int] = []
    pool.run(gate.wait)
    queue = pool.serial("chats")
    for n in range(50):
        queue.submit(done.append, n)
    gate.set()
    pool.close()
    assert done == list(range(50))


def test_a_closed_pool_takes_nothing() -> None:
    pool = IoPool()
    queue = pool.serial("chats")
    pool.close()
    for submit in (pool.run, queue.submit):
        with pytest.raises(RuntimeError):
            submit(print)


def test_a_cancel_token_stops_a_job_where_the_job_looks() -> None:
    token = CancelToken()
    token.raise_if_cancelled()
    assert not token.cancelled
    token.cancel()
    token.cancel()
    assert token.cancelled
    with pytest.raises(Cancelled):
        token.raise_if_cancelled()
