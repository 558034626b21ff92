"""Files are hashed once, and again when they change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engine import fingerprint
from engine.errors import ModelFileError
from engine.fingerprint import model_sha256


@pytest.fixture
def memo(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "hashes.json"


def test_the_hash_is_the_files_sha256_and_is_remembered(
    tmp_path: Path, memo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"weights")
    first = model_sha256(path, memo)
    monkeypatch.setattr(fingerprint, "_hash", lambda _path: pytest.fail("hashed again"))

    assert first == model_sha256(path, memo) == hashlib.sha256(b"weights").hexdigest()


def test_a_file_that_changed_is_hashed_again(tmp_path: Path, memo: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"weights")
    first = model_sha256(path, memo)
    path.write_bytes(b"others, and more")

    assert model_sha256(path, memo) != first


def test_a_model_in_parts_is_all_its_parts(tmp_path: Path, memo: Path) -> None:
    parts = [tmp_path / f"a-{number:05}-of-00002.gguf" for number in (1, 2)]
    for part in parts:
        part.write_bytes(part.name.encode())
    first = model_sha256(parts[0], memo)
    parts[1].write_bytes(b"another second part")

    assert model_sha256(parts[0], memo) != first


@pytest.mark.parametrize("damage", [b"", b"{", b'{"x": 1}', b"\xff"])
def test_a_damaged_memo_costs_time_only(tmp_path: Path, memo: Path, damage: bytes) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"weights")
    memo.parent.mkdir()
    memo.write_bytes(damage)

    assert model_sha256(path, memo) == hashlib.sha256(b"weights").hexdigest()


def test_a_missing_file_is_a_sentence(tmp_path: Path, memo: Path) -> None:
    with pytest.raises(ModelFileError, match=r"a\.gguf"):
        model_sha256(tmp_path / "a.gguf", memo)


def test_a_memo_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    path, in_the_way = tmp_path / "a.gguf", tmp_path / "file"
    path.write_bytes(b"weights")
    in_the_way.write_bytes(b"")

    assert model_sha256(path, in_the_way / "memo.json") == hashlib.sha256(b"weights").hexdigest()
