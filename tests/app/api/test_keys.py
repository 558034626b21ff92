from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.api.keys import is_same_key, load_or_create_key, renew_key
from engine.errors import StorageError

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")


def test_a_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "config" / "api-key"
    key = load_or_create_key(path)
    assert load_or_create_key(path) == key
    assert len(key.removeprefix("hearth-")) == 43  # 256 bits in base64


def test_no_two_keys_are_the_same(tmp_path: Path) -> None:
    assert load_or_create_key(tmp_path / "a") != load_or_create_key(tmp_path / "b")


@posix
def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    load_or_create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600


@posix
def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_text("k" * 40)
    path.chmod(0o644)
    assert load_or_create_key(path) == "k" * 40
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40, b"two words " * 5, b"line\n" * 10])
def test_what_is_no_key_is_told_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "api-key"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="does not hold a usable key"):
        load_or_create_key(path)
    assert path.read_bytes() == content


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        load_or_create_key(tmp_path)


def test_keys_are_compared_whole() -> None:
    assert is_same_key("abc", "abc")
    assert not any(is_same_key(shown, "abc") for shown in ("", "ab", "abcd", "abC", "äbc", "\ud800"))


def test_a_renewed_key_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "config" / "api-key"
    old = load_or_create_key(path)
    new = renew_key(path)
    assert new != old
    assert load_or_create_key(path) == new


def test_renewing_mends_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_bytes(b"short")
    assert renew_key(path) == load_or_create_key(path)
