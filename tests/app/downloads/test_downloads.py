"""The list of downloads: order, pauses, and what the next run finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from app.downloads import DownloadError, DownloadItem, DownloadState
from app.downloads.part import kept_ranges
from engine.errors import KnownError
from tests.doubles.downloading import FILE, QUICK, REPO, WAIT_S, Downloading, downloading, model_bytes
from tests.doubles.hub_server import Fault, HubFile, HubServer

HOSTILE = [
    "../../outside.gguf",
    "/etc/outside.gguf",
    "a/../../../outside.gguf",
    "a\\..\\outside.gguf",
    "C:outside.gguf",
    "con.gguf",
    "COM1.part.gguf",
    "nul/outside.gguf",
    "x\u202egguf.gguf",
    "tab\t.gguf",
    "trailing /x.gguf",
    "trailing./x.gguf",
    " x.gguf",
    ".hidden.gguf",
    "e\u0301.gguf",
    "x" * 300 + ".gguf",
    "/".join("a" * 12) + "/x.gguf",
    "a//b.gguf",
    "what?.gguf",
]


def slowly(world: Downloading) -> None:
    """So that there is time to do something meanwhile."""
    world.settings.update(download_bytes_per_s=2_000_000)


def moving(items: tuple[DownloadItem, ...]) -> bool:
    return any(item.state is DownloadState.RUNNING and item.done_bytes > 0 for item in items)


def test_a_pause_keeps_what_is_here_and_nothing_is_fetched_twice(world: Downloading, data: bytes) -> None:
    slowly(world)
    download_id = world.enqueue()
    world.wait(moving)
    world.downloads.pause(download_id)
    item = world.wait(lambda items: items[0].state is DownloadState.PAUSED and items[0].bytes_per_s == 0)
    assert not world.final.exists()
    assert 0 < item.done_bytes < len(data)
    world.settings.update(download_bytes_per_s=None)
    world.downloads.resume(download_id)
    world.wait(lambda items: items[0].state is DownloadState.DONE)
    assert world.final.read_bytes() == data


def test_the_next_run_goes_on_where_this_one_ended(tmp_path: Path, server: HubServer, data: bytes) -> None:
    with downloading(tmp_path, server) as world:
        slowly(world)
        world.enqueue()
        world.wait(moving)
    kept = sum(path.stat().st_size for path in world.models.rglob("*.part"))
    assert kept > 0
    assert not world.final.exists()
    with downloading(tmp_path, server) as world:
        assert world.downloads.items()[0].name == "tiny Q4_K_M"
        world.settings.update(download_bytes_per_s=None)
        world.downloads.start()
        world.wait(lambda items: items[0].state is DownloadState.DONE)
    assert world.final.read_bytes() == data


CHILD = """
import sys, threading
from pathlib import Path
from tests.doubles.downloading import Downloading, QUICK, downloading, REPO
from tests.doubles.hub_server import HubServer
server = HubServer()
host, port = sys.argv[2].rsplit(":", 1)
server.hub_address = (host, int(port))
with downloading(Path(sys.argv[1]), server, QUICK) as world:
    world.settings.update(download_bytes_per_s=6_000_000)
    world.enqueue()
    world.wait(lambda items: items[0].done_bytes > 3 << 20)
    print("moving", flush=True)
    threading.Event().wait()
"""


@pytest.mark.slow
def test_what_a_killed_process_had_is_used(tmp_path: Path, server: HubServer, data: bytes) -> None:
    hub = "{}:{}".format(*server.hub_address)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), hub],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[3],
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "moving\n"
    os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "models" / REPO / FILE).exists()
    assert kept_ranges(tmp_path / "models" / REPO / FILE) >= 1 << 20
    with downloading(tmp_path, server) as world:
        world.settings.update(download_bytes_per_s=None)
        world.downloads.start()
        world.wait(lambda items: items[0].state is DownloadState.DONE)
        assert world.final.read_bytes() == data
        assert world.files() == {f"{REPO}/{FILE}"}


def test_what_is_cancelled_leaves_nothing(world: Downloading) -> None:
    slowly(world)
    download_id = world.enqueue()
    world.wait(moving)
    world.downloads.cancel(download_id)
    gone = threading.Event()
    world.downloads.subscribe(lambda items: gone.set() if not world.files() else None)
    assert gone.wait(WAIT_S)
    assert world.downloads.items() == ()


def test_the_first_of_the_list_runs_first(world: Downloading, data: bytes) -> None:
    world.server.add("org/other-GGUF", {"other-Q8_0.gguf": data})
    slowly(world)
    world.enqueue()
    world.wait(moving)
    other = world.enqueue("org/other-GGUF")
    assert [item.state for item in world.downloads.items()][1] is DownloadState.WAITING
    world.downloads.move(other, 0)
    world.wait(lambda items: items[0].id == other and items[0].state is DownloadState.RUNNING)
    assert world.downloads.items()[1].state is DownloadState.WAITING
    world.settings.update(download_bytes_per_s=None)
    world.wait(lambda items: all(item.state is DownloadState.DONE for item in items))


def test_parts_get_their_names_when_all_are_whole(world: Downloading, data: bytes) -> None:
    names = [f"split-Q4_K_M-0000{number}-of-00002.gguf" for number in (1, 2)]
    world.server.add("org/split-GGUF", {names[0]: data, names[1]: HubFile(data, claimed_sha256="d" * 64)})
    assert world.fetch("org/split-GGUF").state is DownloadState.FAILED
    assert not any(name.endswith(".gguf") for name in world.files())
    world.server.add("org/split-GGUF", {names[0]: data, names[1]: data})
    world.downloads.cancel(world.downloads.items()[0].id)
    assert world.fetch("org/split-GGUF").state is DownloadState.DONE
    assert world.files() == {f"org/split-GGUF/{name}" for name in names}


def test_a_finished_file_is_never_touched_again(world: Downloading, data: bytes) -> None:
    world.fetch()
    before = world.final.stat()
    n_sent = world.server.n_sent
    assert world.fetch().state is DownloadState.DONE
    assert (world.final.stat().st_ino, world.final.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert world.server.n_sent == n_sent


def test_a_file_of_somebody_else_is_not_replaced(world: Downloading) -> None:
    world.final.parent.mkdir(parents=True)
    world.final.write_bytes(b"mine")
    item = world.fetch()
    assert item.state is DownloadState.FAILED
    assert item.problem is not None
    assert "called" in item.problem.text
    assert world.final.read_bytes() == b"mine"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_writes_nothing_anywhere(world: Downloading, tmp_path: Path, name: str) -> None:
    world.server.add("org/evil-GGUF", {name: HubFile(model_bytes(1000))})
    before = {path for path in tmp_path.rglob("*")}
    repository = world.repository("org/evil-GGUF")
    for group in repository.groups:
        assert group.problem is not None
        with pytest.raises(KnownError):
            world.downloads.enqueue(repository, group)
        with pytest.raises(KnownError):
            world.downloads.enqueue(repository, replace(group, problem=None))
    assert {path for path in tmp_path.rglob("*")} == before


def test_a_folder_that_is_a_link_is_not_followed(world: Downloading, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    world.models.mkdir()
    (world.models / "org").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KnownError, match="link"):
        world.enqueue()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_two_processes_do_not_write_one_file(tmp_path: Path, server: HubServer) -> None:
    with downloading(tmp_path, server) as world:
        slowly(world)
        world.enqueue()
        world.wait(moving)
        (tmp_path / "second").mkdir()
        with downloading(tmp_path / "second", server, QUICK, tmp_path / "models") as second:
            item = second.fetch()
            assert item.problem is not None
            assert "another Hearth" in item.problem.text


def test_a_limit_holds(world: Downloading, data: bytes) -> None:
    slowly(world)
    world.enqueue()
    item = world.wait(lambda items: items[0].done_bytes > 2_000_000)
    assert item.done_bytes < len(data)


def test_while_everything_waits_the_row_says_why_and_for_how_long(world: Downloading) -> None:
    world.server.always = Fault(status=429, headers={"Retry-After": "300"})
    world.enqueue()
    item = world.wait(lambda items: items[0].state is DownloadState.RETRYING)
    assert item.problem is not None
    assert item.problem.kind == "hub-rate-limit"
    assert item.retry_in_s is not None
    assert 200 < item.retry_in_s <= 300


def test_a_repository_without_access_is_not_begun(world: Downloading, data: bytes) -> None:
    world.server.add(REPO, {FILE: data}, gated="manual")
    with pytest.raises(DownloadError, match="accepted its licence"):
        world.enqueue()


def test_a_damaged_list_does_not_stop_the_start(tmp_path: Path, server: HubServer) -> None:
    (tmp_path / "queue.json").write_bytes(b"{")
    with downloading(tmp_path, server) as world:
        assert world.downloads.items() == ()
        assert world.fetch().state is DownloadState.DONE


def test_a_damaged_state_costs_a_fresh_start_and_no_more(tmp_path: Path, server: HubServer, data: bytes) -> None:
    with downloading(tmp_path, server) as world:
        slowly(world)
        world.enqueue()
        world.wait(moving)
    for state in world.models.rglob("*.part.json"):
        state.write_bytes(b"\x00" * 100)
    with downloading(tmp_path, server) as world:
        world.settings.update(download_bytes_per_s=None)
        world.downloads.start()
        world.wait(lambda items: items[0].state is DownloadState.DONE)
        assert world.final.read_bytes() == data
