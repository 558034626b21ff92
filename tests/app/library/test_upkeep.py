"""Verified, found twice, thrown away."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from app.jobs import CancelToken
from app.library import App, Hashes, Importer, Library, Origin, Outcome, Upkeep
from app.library import trash as trash_module
from app.library.elsewhere import Surroundings
from app.paths import Paths
from engine.errors import Cancelled, InvalidRequest, ModelFileError, StorageError
from tests.doubles.gguf import Typed, make_tiny_gguf
from tests.doubles.other_apps import MODEL, ollama_model


class Bin:
    """A recycle bin that is a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __call__(self, path: Path) -> None:
        path.rename(self.folder / path.name)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def bin(tmp_path: Path) -> Bin:
    return Bin(tmp_path / "bin")


@pytest.fixture
def library(paths: Paths) -> Library:
    return Library(paths)


@pytest.fixture
def upkeep(library: Library, paths: Paths, bin: Bin) -> Upkeep:
    return Upkeep(library, Hashes(paths.cache / "hashes.json"), trash=bin)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_split(folder: Path, stem: str) -> list[Path]:
    parts = [folder / f"{stem}-{number:05d}-of-00002.gguf" for number in (1, 2)]
    for number, path in enumerate(parts):
        make_tiny_gguf(path, metadata={"split.no": Typed("u16", number), "split.count": Typed("u16", 2)})
    return parts


class TestVerify:
    def test_what_its_publisher_says_decides(self, upkeep: Upkeep, library: Library, paths: Paths) -> None:
        path = make_tiny_gguf(paths.models / "tiny.gguf")
        library.record_origin(path, Origin("a/b", "c" * 40, "tiny.gguf", sha256(path)))
        good = upkeep.verify("tiny")
        assert (good.outcome, good.sha256) == (Outcome.MATCHES, (sha256(path),))
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        status = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as when a disk flips a bit
        bad = upkeep.verify("tiny")
        assert bad.outcome is Outcome.DIFFERS
        assert "tiny.gguf is not what it should be" in bad.text
        assert bad.hint

    def test_without_a_publisher_the_first_time_counts(self, upkeep: Upkeep, paths: Paths) -> None:
        path = make_tiny_gguf(paths.models / "tiny.gguf")
        assert upkeep.verify("tiny").outcome is Outcome.FIRST_TIME
        assert upkeep.verify("tiny").outcome is Outcome.MATCHES
        make_tiny_gguf(path, metadata={"general.name": "Changed"})
        assert upkeep.verify("tiny").outcome is Outcome.DIFFERS

    def test_all_parts_with_progress(self, upkeep: Upkeep, library: Library, paths: Paths) -> None:
        parts = make_split(paths.models, "big")
        library.record_origin(parts[1], Origin(sha256=sha256(parts[1])))
        seen: list[tuple[int, int]] = []
        result = upkeep.verify("big", lambda done, total: seen.append((done, total)))
        assert result.outcome is Outcome.FIRST_TIME
        assert result.sha256 == tuple(map(sha256, parts))
        n_bytes = sum(part.stat().st_size for part in parts)
        assert seen[-1] == (n_bytes, n_bytes)

    def test_it_can_be_cancelled(self, upkeep: Upkeep, paths: Paths) -> None:
        make_split(paths.models, "big")
        cancel = CancelToken()
        with pytest.raises(Cancelled):
            upkeep.verify("big", lambda *_: cancel.cancel(), cancel)

    def test_a_file_that_is_gone(self, upkeep: Upkeep, library: Library, elsewhere: Path) -> None:
        path = make_tiny_gguf(elsewhere / "tiny.gguf")
        library.add(path)
        path.unlink()
        with pytest.raises(ModelFileError, match="cannot be read"):
            upkeep.verify("tiny")

    def test_ollamas_files_are_named_by_their_hash(self, upkeep: Upkeep, library: Library, tmp_path: Path) -> None:
        data = make_tiny_gguf(tmp_path / "made.gguf").read_bytes()
        store = tmp_path / "user" / ".ollama" / "models"
        ollama_model(store, "registry.ollama.ai/library/tiny/latest", {MODEL: data})
        Importer(library, Surroundings(tmp_path / "user", {}, "linux")).import_from(App.OLLAMA)
        assert upkeep.verify("tiny:latest").outcome is Outcome.MATCHES


class TestDuplicates:
    def test_the_same_bytes_in_two_files(self, upkeep: Upkeep, library: Library, paths: Paths, elsewhere: Path) -> None:
        first = make_tiny_gguf(paths.models / "one.gguf")
        library.add(make_tiny_gguf(elsewhere / "two.gguf"))
        make_tiny_gguf(paths.models / "other.gguf", seed=1)
        make_tiny_gguf(paths.models / "longer.gguf", metadata={"general.name": "Longer"})
        (group,) = upkeep.duplicates()
        assert [entry.id for entry in group.entries] == ["one", "two"]
        assert (group.freed_bytes, group.sha256) == (first.stat().st_size, (sha256(first),))

    def test_links_to_one_file_are_no_duplicates(
        self, upkeep: Upkeep, library: Library, paths: Paths, elsewhere: Path
    ) -> None:
        path = make_tiny_gguf(paths.models / "one.gguf")
        os.link(path, elsewhere / "two.gguf")
        library.add(elsewhere / "two.gguf")
        assert upkeep.duplicates() == ()

    def test_models_in_parts(self, upkeep: Upkeep, paths: Paths) -> None:
        for folder in ("a", "b"):
            (paths.models / folder).mkdir()
            make_split(paths.models / folder, "big")
        (group,) = upkeep.duplicates()
        assert len(group.entries) == 2
        assert len(group.sha256) == 2

    def test_a_file_is_read_once_as_long_as_it_stays_the_same(
        self, paths: Paths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make_tiny_gguf(paths.models / "one.gguf")
        hashes = Hashes(paths.cache / "hashes.json")
        expected = hashes.sha256(path)
        path.rename(paths.models / "renamed.gguf")
        again = Hashes(paths.cache / "hashes.json")

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("it was read again")

        monkeypatch.setattr(Path, "open", refuse)
        assert again.sha256(paths.models / "renamed.gguf") == expected

    def test_it_can_be_cancelled(self, upkeep: Upkeep, paths: Paths) -> None:
        for name in "ab":
            make_tiny_gguf(paths.models / f"{name}.gguf")
        cancel = CancelToken()
        cancel.cancel()
        with pytest.raises(Cancelled):
            upkeep.duplicates(cancel=cancel)


class TestDelete:
    def test_a_model_goes_to_the_recycle_bin_with_what_only_it_needs(
        self, upkeep: Upkeep, library: Library, paths: Paths, bin: Bin
    ) -> None:
        folder = paths.models / "owner" / "name"
        folder.mkdir(parents=True)
        parts = make_split(folder, "big")
        vision = {"general.architecture": "clip", "general.type": "mmproj"}
        projector = make_tiny_gguf(folder / "mmproj.gguf", metadata=vision)
        n_bytes = sum(path.stat().st_size for path in (*parts, projector))
        deleted = upkeep.delete("owner/name/big")
        assert (deleted.freed_bytes, deleted.in_trash) == (n_bytes, True)
        assert bin.names == sorted(path.name for path in (*parts, projector))
        assert library.entries() == []
        assert list(paths.models.iterdir()) == []

    def test_a_projector_that_another_model_needs_stays(self, upkeep: Upkeep, paths: Paths, bin: Bin) -> None:
        for name in ("q4", "q8"):
            make_tiny_gguf(paths.models / f"{name}.gguf")
        make_tiny_gguf(paths.models / "mmproj.gguf", metadata={"general.architecture": "clip"})
        upkeep.delete("q4")
        assert bin.names == ["q4.gguf"]

    def test_a_linked_model_is_never_deleted(self, upkeep: Upkeep, library: Library, elsewhere: Path, bin: Bin) -> None:
        path = make_tiny_gguf(elsewhere / "tiny.gguf")
        library.add(path)
        with pytest.raises(InvalidRequest, match="does not delete it") as caught:
            upkeep.delete("tiny", forever=True)
        assert "Remove it from the list" in caught.value.hint
        assert path.exists()
        assert bin.names == []

    def test_a_model_that_is_loaded_is_not_deleted(self, library: Library, paths: Paths, bin: Bin) -> None:
        path = make_tiny_gguf(paths.models / "tiny.gguf")
        upkeep = Upkeep(library, Hashes(paths.cache / "hashes.json"), lambda: {path}, bin)
        with pytest.raises(InvalidRequest, match="is loaded now"):
            upkeep.delete("tiny")
        assert path.exists()

    def test_a_broken_file_can_be_deleted(self, upkeep: Upkeep, library: Library, paths: Paths, bin: Bin) -> None:
        (paths.models / "cut.gguf").write_bytes(b"GGUF")
        assert upkeep.delete("cut").freed_bytes == 4
        assert library.entries() == []

    def test_where_there_is_no_bin_it_can_be_deleted_for_good(self, library: Library, paths: Paths) -> None:
        path = make_tiny_gguf(paths.models / "tiny.gguf")

        def no_bin(path: Path) -> None:
            raise StorageError(f"{path.name} cannot be moved.", "It can be deleted for good instead.")

        upkeep = Upkeep(library, Hashes(paths.cache / "hashes.json"), trash=no_bin)
        with pytest.raises(StorageError):
            upkeep.delete("tiny")
        assert path.exists()
        assert not upkeep.delete("tiny", forever=True).in_trash
        assert not path.exists()

    def test_a_second_name_of_a_file_frees_nothing(self, upkeep: Upkeep, paths: Paths, elsewhere: Path) -> None:
        path = make_tiny_gguf(paths.models / "tiny.gguf")
        os.link(path, elsewhere / "kept.gguf")
        assert upkeep.delete("tiny").freed_bytes == 0

    def test_a_system_without_a_bin_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> None:
            raise ImportError(name)

        monkeypatch.setattr(trash_module.importlib, "import_module", missing)
        with pytest.raises(StorageError, match="recycle bin") as caught:
            trash_module.move_to_trash(tmp_path / "x.gguf")
        assert caught.value.hint
