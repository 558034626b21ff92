from __future__ import annotations

from pathlib import Path

import psutil

from engine.backend.host import host_memory

GIB = 1 << 30


def container(folder: Path, limit: str, used_bytes: int = 0, cached_bytes: int = 0) -> Path:
    (folder / "memory.max").write_text(limit + "\n", encoding="ascii")
    (folder / "memory.current").write_text(f"{used_bytes}\n", encoding="ascii")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached_bytes}\nactive_file 0\n", encoding="ascii")
    return folder


def test_without_a_container_the_system_is_asked(tmp_path: Path) -> None:
    free_bytes, total_bytes = host_memory(tmp_path)
    assert total_bytes == psutil.virtual_memory().total
    assert 0 < free_bytes <= total_bytes


def test_a_container_limits_what_is_free_and_its_cached_files_count_as_free(tmp_path: Path) -> None:
    folder = container(tmp_path, str(1 << 20), used_bytes=900_000, cached_bytes=400_000)
    assert host_memory(folder) == ((1 << 20) - 500_000, 1 << 20)


def test_a_container_without_a_limit_limits_nothing(tmp_path: Path) -> None:
    assert host_memory(container(tmp_path, "max"))[1] == psutil.virtual_memory().total


def test_a_container_that_says_nonsense_limits_nothing(tmp_path: Path) -> None:
    assert host_memory(container(tmp_path, "lots"))[1] == psutil.virtual_memory().total
