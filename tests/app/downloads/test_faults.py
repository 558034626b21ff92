"""Whatever goes wrong on the way: the file is right in the end, or its row says why it is not there."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from app.downloads import DownloadState
from tests.doubles.downloading import FILE, QUICK, REPO, Downloading, downloading, model_bytes
from tests.doubles.hub_server import Fault, HubFile, HubServer, sparse_file
from tests.doubles.openai_server import unused_port

PASSING = {
    "a stall": [Fault(stall_after=300_000)],
    "a body that is shorter than it was announced": [Fault(truncate_to=5000), Fault(truncate_to=70_000)],
    "the whole file in answer to a range": [Fault(ignore_range=True)],
    "too many requests": [Fault(status=429, headers={"Retry-After": "0"}), Fault(status=429)],
    "a server's own fault": [Fault(status=500), Fault(status=502), Fault(status=503)],
    "an address that has expired": [None, Fault(status=403)],
}


def check_whole(world: Downloading, data: bytes) -> None:
    assert world.final.read_bytes() == data
    assert world.files() == {f"{REPO}/{FILE}"}


def test_a_file_arrives_whole_and_nothing_else_is_left(world: Downloading, data: bytes) -> None:
    item = world.fetch()
    assert item.state is DownloadState.DONE
    assert (item.done_bytes, item.total_bytes, item.fraction) == (len(data), len(data), 1.0)
    check_whole(world, data)
    assert world.server.n_sent == len(data)


def test_the_library_learns_where_a_file_came_from(world: Downloading) -> None:
    world.fetch()
    (finished,) = world.finished
    assert (finished.repo_id, finished.file, finished.licence) == (REPO, FILE, "apache-2.0")
    assert finished.path == world.final
    assert finished.sha256 == world.repository().groups[0].first.sha256


@pytest.mark.parametrize("seed", range(4))
def test_after_dropped_connections_hardly_a_byte_is_fetched_twice(world: Downloading, data: bytes, seed: int) -> None:
    chance = random.Random(seed)
    world.server.faults = [Fault(drop_after=chance.randrange(1, 900_000)) for _ in range(6)]
    assert world.fetch().state is DownloadState.DONE
    check_whole(world, data)
    assert world.server.n_sent <= len(data) * 1.02


@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
def test_what_passes_is_survived(world: Downloading, data: bytes, faults: list[Fault | None]) -> None:
    world.server.faults = list(faults)
    assert world.fetch().state is DownloadState.DONE
    check_whole(world, data)


def test_bytes_that_were_changed_on_the_way_never_get_the_name(world: Downloading) -> None:
    world.server.always = Fault(corrupt=True)
    item = world.fetch()
    assert item.state is DownloadState.FAILED
    assert item.problem is not None
    assert "hash" in item.problem.text
    assert not world.final.exists()


def test_bytes_that_were_changed_once_are_fetched_again(world: Downloading, data: bytes) -> None:
    world.server.faults = [Fault(corrupt=True)]
    assert world.fetch().state is DownloadState.DONE
    check_whole(world, data)


def test_a_file_that_changed_meanwhile_is_fetched_anew(world: Downloading, data: bytes) -> None:
    world.server.faults = [None, None, *[Fault(etag='"another"')] * 4]
    world.server.always = Fault(etag='"another"')
    assert world.fetch().state is DownloadState.DONE
    check_whole(world, data)


def test_a_file_that_keeps_changing_is_given_up(tmp_path: Path, server: HubServer) -> None:
    server.faults = [Fault(etag=f'"{number}"') for number in range(400)]
    with downloading(tmp_path, server) as world:
        item = world.fetch()
    assert item.state is DownloadState.FAILED
    assert item.problem is not None
    assert "changing" in item.problem.text


def test_a_server_without_ranges_is_enough(world: Downloading, data: bytes) -> None:
    world.server.always = Fault(ignore_range=True)
    assert world.fetch().state is DownloadState.DONE
    check_whole(world, data)


@pytest.mark.parametrize(
    ("repo", "kind", "words"),
    [
        ({"gated": "manual"}, "hub-sign-in", "accepted its licence"),
        (
            {"gated": "manual", "refusal": (403, "GatedRepo", "Your request is awaiting a review from the authors.")},
            "hub-pending",
            "have not answered",
        ),
        (
            {"gated": "manual", "refusal": (403, "GatedRepo", "Your request has been rejected by the authors.")},
            "hub-rejected",
            "have refused",
        ),
    ],
)
def test_a_refusal_while_it_downloads_names_its_reason(
    world: Downloading, data: bytes, repo: dict[str, object], kind: str, words: str
) -> None:
    repository = world.repository()
    world.server.add(REPO, {FILE: data}, **repo)
    download_id = world.downloads.enqueue(repository, *repository.groups)
    item = world.wait(lambda items: items[0].state is DownloadState.FAILED)
    assert item.id == download_id
    assert item.problem is not None
    assert item.problem.kind == kind
    assert words in item.problem.text


def test_a_file_that_was_removed_is_told(world: Downloading) -> None:
    repository = world.repository()
    del world.server.repos[REPO].files[FILE]
    world.downloads.enqueue(repository, *repository.groups)
    item = world.wait(lambda items: items[0].state is DownloadState.FAILED)
    assert item.problem is not None
    assert item.problem.kind == "hub-not-found"


def test_a_fault_that_stays_ends_in_a_reason_and_can_be_tried_again(world: Downloading, data: bytes) -> None:
    world.server.always = Fault(status=500)
    item = world.fetch()
    assert item.state is DownloadState.FAILED
    assert item.problem is not None
    assert item.problem.kind == "hub-server"
    world.server.always = None
    world.downloads.resume(item.id)
    world.wait(lambda items: items[0].state is DownloadState.DONE)
    check_whole(world, data)


def test_a_mirror_takes_over(world: Downloading, data: bytes) -> None:
    world.server.always = Fault(status=500)
    mirror = HubServer()
    mirror.add(REPO, {FILE: data})
    with mirror.running():
        world.settings.update(hub_mirrors=(mirror.endpoint,))
        assert world.fetch().state is DownloadState.DONE
    check_whole(world, data)
    assert mirror.n_sent == len(data)


def test_a_mirror_takes_over_from_a_hub_that_is_gone(world: Downloading, data: bytes) -> None:
    gone = f"http://127.0.0.1:{unused_port()}"
    repository = replace(world.repository(), endpoint=gone)
    world.downloads.enqueue(repository, *repository.groups)
    world.wait(lambda items: items[0].state is DownloadState.DONE)
    check_whole(world, data)


def test_being_offline_is_waited_for(world: Downloading, data: bytes) -> None:
    repository = world.repository()
    gone = f"http://127.0.0.1:{unused_port()}"
    world.settings.update(hub_endpoint=gone)
    download_id = world.downloads.enqueue(replace(repository, endpoint=gone), *repository.groups)
    item = world.wait(lambda items: items[0].state is DownloadState.RETRYING)
    assert item.problem is not None
    assert item.problem.kind == "hub-offline"
    world.downloads.pause(download_id)
    world.wait(lambda items: items[0].state is DownloadState.PAUSED)


def test_the_token_goes_to_the_hub_and_to_nobody_else(world: Downloading, data: bytes) -> None:
    from app.hub import TokenPlace

    world.server.add(REPO, {FILE: data}, gated="auto", allowed_tokens=("hf_secret",))
    world.hub.set_token("hf_secret", TokenPlace.KEYRING)
    assert world.fetch().state is DownloadState.DONE
    hub = "{}:{}".format(*world.server.hub_address)
    assert any(heard.headers.get("authorization") == "Bearer hf_secret" for heard in world.server.heard)
    assert all("hf_secret" not in str(heard.headers) for heard in world.server.heard if heard.host != hub)


@pytest.mark.slow
def test_a_full_disk_stops_it_and_room_lets_it_go_on(tmp_path: Path, small_disk: object, data: bytes) -> None:
    from tests.doubles.small_disk import SmallDisk

    assert isinstance(small_disk, SmallDisk)
    small = model_bytes(3 << 20)
    server = HubServer()
    server.add(REPO, {FILE: small})
    models = small_disk.root / "models"
    with server.running(), downloading(tmp_path, server, replace(QUICK, piece_bytes=1 << 18), models) as world:
        repository = world.repository()
        server.on_bytes = lambda heard: small_disk.fill() if server.n_sent > 1 << 20 else None
        world.downloads.enqueue(repository, *repository.groups)
        item = world.wait(lambda items: items[0].state is DownloadState.FAILED)
        assert item.problem is not None
        assert item.problem.kind == "NoRoom"
        assert not (models / REPO / FILE).exists()
        server.on_bytes = lambda heard: None
        small_disk.free()
        world.downloads.resume(item.id)
        world.wait(lambda items: items[0].state is DownloadState.DONE)
        assert (models / REPO / FILE).read_bytes() == small


def test_what_does_not_fit_is_refused_before_it_starts(world: Downloading, tmp_path: Path) -> None:
    huge = sparse_file(tmp_path / "huge", 1 << 43)
    files = {f"big-Q8_0-0000{n}-of-00002.gguf": HubFile(huge, claimed_sha256="c" * 64) for n in (1, 2)}
    world.server.add("org/big-GGUF", dict(files))
    repository = world.repository("org/big-GGUF")
    room = world.downloads.room(repository, *repository.groups)
    assert not room.is_enough
    assert room.needed_bytes == 2 << 43
    with pytest.raises(Exception, match="no room"):
        world.enqueue("org/big-GGUF")
    assert world.downloads.items() == ()
