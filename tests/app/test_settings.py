from __future__ import annotations

import errno
import json
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from app import settings as settings_module
from app.jobs import IoPool
from app.settings import Settings, SettingsStore, Theme
from engine.errors import InvalidRequest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def test_without_a_file_there_are_defaults_and_no_problem(path: Path) -> None:
    store = SettingsStore(path)
    assert store.current == Settings()
    assert store.problem is None
    assert not path.exists()


def test_changes_survive_a_restart(path: Path) -> None:
    store = SettingsStore(path)
    store.update(theme=Theme.DARK, temperature=0, n_ctx=8192, system_prompt="Sei höflich.")
    again = SettingsStore(path).current
    assert again == Settings(theme=Theme.DARK, temperature=0.0, n_ctx=8192, system_prompt="Sei höflich.")
    assert isinstance(again.temperature, float)


def test_subscribers_hear_of_each_change_until_they_leave(path: Path) -> None:
    store = SettingsStore(path)
    heard: list[Theme] = []
    leave = store.subscribe(lambda settings: heard.append(settings.theme))
    store.update(theme=Theme.DARK)
    store.update(theme=Theme.DARK)
    store.update(theme=Theme.LIGHT)
    leave()
    store.update(theme=Theme.SYSTEM)
    assert heard == [Theme.DARK, Theme.LIGHT]


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 9}, {"temperature": float("nan")}, {"n_ctx": 1}, {"theme": "pink"}, {"system_prompt": "\ud800"}],
)
def test_a_value_that_makes_no_sense_is_refused_and_changes_nothing(path: Path, changes: dict[str, object]) -> None:
    store = SettingsStore(path)
    with pytest.raises(InvalidRequest):
        store.update(**changes)
    assert store.current == Settings()


@pytest.mark.parametrize(
    "changes",
    [
        {"api_port": -1},
        {"api_port": 65_536},
        {"api_port": "8080"},
        {"api_idle_minutes": 0},
        {"api_n_models": 17},
        {"api_origins": ("*",)},
        {"api_origins": ("null",)},
        {"api_origins": ("https://example.org/path",)},
        {"api_origins": ("https://Example.org",)},
        {"api_origins": ("example.org",)},
        {"api_origins": ("http://a\r\nb",)},
        {"api_origins": ("http://a",) * 65},
    ],
)
def test_the_api_has_ranges_too(path: Path, changes: dict[str, object]) -> None:
    store = SettingsStore(path)
    with pytest.raises(InvalidRequest):
        store.update(**changes)
    assert store.current == Settings()


def test_web_pages_and_apps_may_be_listed(path: Path) -> None:
    origins = ("http://localhost:3000", "https://example.org", "app://obsidian.md", "http://[::1]:5173")
    SettingsStore(path).update(api_origins=origins)
    assert SettingsStore(path).current.api_origins == origins


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\x00" * 500, b"\xff\xfe", b'{"a":' + b"[" * 100_000])
def test_a_corrupt_file_is_kept_aside_and_defaults_are_used(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    store = SettingsStore(path)
    assert store.current == Settings()
    assert store.problem is not None
    assert "settings.json.corrupt-1" in store.problem.hint
    assert path.with_name("settings.json.corrupt-1").read_bytes() == content
    store.update(theme=Theme.DARK)
    assert SettingsStore(path).current.theme is Theme.DARK


def test_one_bad_value_does_not_cost_the_others(path: Path) -> None:
    path.write_text(json.dumps({"theme": "sepia", "temperature": 99, "n_ctx": "many", "last_model": "a", "new": {}}))
    store = SettingsStore(path)
    assert store.current == Settings(last_model="a")
    assert store.problem is None


def test_a_disk_that_refuses_is_told_and_the_value_counts_anyway(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SettingsStore(path)

    def no_space(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(settings_module, "write_atomically", no_space)
        store.update(theme=Theme.DARK)
        store.flush()
        assert store.current.theme is Theme.DARK
        assert store.problem is not None
        assert "full" in store.problem.text
    store.flush()
    assert store.problem is None
    assert SettingsStore(path).current.theme is Theme.DARK


def test_a_file_that_cannot_be_read_gives_defaults_and_a_problem(path: Path) -> None:
    path.mkdir()
    store = SettingsStore(path)
    assert store.current == Settings()
    assert store.problem is not None


def test_many_changes_are_written_as_one_and_off_the_callers_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[int] = []
    write = settings_module.write_atomically

    def recording(path: Path, data: bytes) -> None:
        writers.append(threading.get_ident())
        write(path, data)

    monkeypatch.setattr(settings_module, "write_atomically", recording)
    io = IoPool()
    store = SettingsStore(path, io)
    gate = threading.Event()
    held: Future[bool] = io.serial("settings").submit(gate.wait)
    for width in range(100, 200):
        store.update(sidebar_width=width)
    assert writers == []
    gate.set()
    held.result()
    io.close()
    assert len(writers) == 1
    assert writers[0] != threading.get_ident()
    assert SettingsStore(path).current.sidebar_width == 199


def test_a_change_after_the_pool_has_closed_is_still_written(path: Path) -> None:
    io = IoPool()
    store = SettingsStore(path, io)
    io.close()
    store.update(theme=Theme.DARK)
    assert SettingsStore(path).current.theme is Theme.DARK


def test_changes_from_many_threads_all_count(path: Path) -> None:
    io = IoPool()
    store = SettingsStore(path, io)
    changes = ({"sidebar_width": 321}, {"theme": Theme.DARK}, {"last_model": "m"}, {"selected_conversation": 5})
    threads = [threading.Thread(target=store.update, kwargs=change) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    io.close()
    assert SettingsStore(path).current == Settings(
        sidebar_width=321, theme=Theme.DARK, last_model="m", selected_conversation=5
    )
