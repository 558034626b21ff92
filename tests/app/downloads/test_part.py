"""What is kept of a file that is not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.downloads import part
from app.downloads.part import PartFile
from app.downloads.ranges import RangeSet
from app.downloads.types import DownloadError

SIZE = 1000


def opened(folder: Path, sha256: str | None = "a" * 64, commit: str = "c") -> PartFile:
    return PartFile(folder / "x.gguf", SIZE, sha256, commit)


def keep(folder: Path) -> None:
    """600 bytes are written, of which 400 are on the disk for sure."""
    file = opened(folder)
    file.write(memoryview(bytes(600)), 0)
    file.save(RangeSet([(0, 400)]), durably=True)
    file.save(RangeSet([(0, 600)]))
    file.close()


def test_after_a_crash_of_the_program_all_is_used(tmp_path: Path) -> None:
    keep(tmp_path)
    file = opened(tmp_path)
    assert list(file.done) == [(0, 600)]
    file.close()


def test_after_a_crash_of_the_machine_what_was_synced_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path)
    monkeypatch.setattr(part, "boot_id", lambda: "another start")
    file = opened(tmp_path)
    assert list(file.done) == [(0, 400)]
    file.close()


def test_what_belongs_to_another_file_is_not_used(tmp_path: Path) -> None:
    keep(tmp_path)
    file = opened(tmp_path, "b" * 64)
    assert list(file.done) == []
    file.close()


def test_a_state_that_claims_more_than_there_is_is_not_believed(tmp_path: Path) -> None:
    keep(tmp_path)
    (tmp_path / "x.gguf.part").write_bytes(bytes(100))
    file = opened(tmp_path)
    assert list(file.done) == [(0, 100)]
    file.close()


def test_a_link_in_place_of_the_part_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "x.gguf.part").symlink_to(tmp_path / "mine")
    with pytest.raises(Exception, match="cannot be used"):
        opened(tmp_path)
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    keep(tmp_path)
    file = opened(tmp_path)
    (tmp_path / "x.gguf").write_bytes(b"mine")
    with pytest.raises(DownloadError, match="already"):
        file.finish()
    file.close()
    assert (tmp_path / "x.gguf").read_bytes() == b"mine"
