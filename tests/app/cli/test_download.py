"""``search`` and ``download`` in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.__main__ import main
from app.library import Library
from app.paths import Paths
from app.settings import SettingsStore
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.hub_server import HubServer


@pytest.fixture
def server(hearth_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    data = make_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    server = HubServer()
    server.add("org/tiny-GGUF", {"tiny-F32.gguf": data})
    server.add("org/two-GGUF", {"two-Q4_0.gguf": data, "two-Q8_0.gguf": data})
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    paths = Paths.from_environment()
    paths.ensure()
    with server.running():
        SettingsStore(paths.settings_file).update(hub_endpoint=server.endpoint)
        yield server


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_what_was_found_can_be_downloaded_and_is_in_the_library(
    server: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "search", "tiny")
    assert code == 0
    assert "org/tiny-GGUF" in out
    code, out, _ = run(capsys, "download", "org/tiny-GGUF")
    assert code == 0
    path = Path(out.strip())
    (entry,) = Library(Paths.from_environment()).entries()
    assert entry.path == path
    assert entry.origin is not None
    assert entry.origin.repo_id == "org/tiny-GGUF"


def test_of_several_files_one_must_be_named(server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "download", "org/two-GGUF")
    assert code == 1
    assert "Q8_0" in out
    assert "Choose one" in err
    assert run(capsys, "download", "org/two-GGUF:q8_0")[0] == 0
    code, _, err = run(capsys, "download", "org/two-GGUF:Q2_K")
    assert code == 1
    assert "There is: Q4_0, Q8_0." in err


def test_what_is_not_there_is_a_sentence(server: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "download", "org/missing-GGUF")
    assert code == 1
    assert "private, or does not exist" in err
