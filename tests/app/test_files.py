from __future__ import annotations

import errno
from pathlib import Path

import pytest

from app import files


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"something longer than the new content")
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_set_aside_under_names_that_are_free(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for n in (1, 2, 3):
        path.write_text(str(n))
        assert files.set_aside(path).name == f"a.json.corrupt-{n}"
    assert (tmp_path / "a.json.corrupt-2").read_text() == "2"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EIO, "cannot be used"),
    ],
)
def test_an_error_of_the_system_becomes_a_sentence_with_the_file_and_a_remedy(number: int, says: str) -> None:
    error = files.storage_error(OSError(number, "reason"), Path("/data/a.json"))
    assert says in error.text
    assert "/data/a.json" in error.text
    assert error.hint.endswith(".")
