from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.library import EntryState, Library, ModelEntry, Source, facts, links
from app.library.starter import STARTER_FILE_NAME
from app.paths import Paths
from engine.errors import InvalidRequest, ModelFileError, StorageError
from engine.gguf.summary import HeaderSummary
from engine.probe import examine_here
from tests.doubles.gguf import RawTensor, Typed, make_tiny_gguf


def make_split(folder: Path, stem: str = "big", n_parts: int = 3) -> list[Path]:
    """The first part is a whole model that says it is split; the others hold one tensor each."""
    parts = [folder / f"{stem}-{n:05d}-of-{n_parts:05d}.gguf" for n in range(1, n_parts + 1)]
    for number, path in enumerate(parts):
        split = {"split.no": Typed("u16", number), "split.count": Typed("u16", n_parts)}
        make_tiny_gguf(path, metadata=split)
    return parts


def ids(library: Library) -> list[str]:
    return [entry.id for entry in library.entries()]


def only(library: Library) -> ModelEntry:
    (entry,) = library.entries()
    return entry


def test_an_empty_or_missing_folder_has_no_models(paths: Paths) -> None:
    assert Library(paths).entries() == []
    paths.models.rmdir()
    assert Library(paths).entries() == []


def test_a_model_is_described_by_its_header(paths: Paths) -> None:
    path = make_tiny_gguf(paths.models / "tiny-F32.gguf")
    entry = only(Library(paths))
    assert (entry.id, entry.path, entry.name, entry.architecture) == ("tiny-F32", path, "tiny", "llama")
    assert (entry.quantization, entry.n_ctx_train, entry.source) == ("F32", 4096, Source.FOLDER)
    assert entry.size_bytes == path.stat().st_size
    assert 50_000 < entry.n_params < entry.size_bytes / 4
    assert entry.problem is None


def test_the_starter_model_is_told_apart(paths: Paths) -> None:
    make_tiny_gguf(paths.models / STARTER_FILE_NAME)
    assert only(Library(paths)).source is Source.STARTER


def test_models_stand_in_the_order_of_their_names(paths: Paths) -> None:
    for name in ("zebra", "Apple", "mango"):
        make_tiny_gguf(paths.models / f"{name}.gguf")
    assert [entry.name for entry in Library(paths).entries()] == ["Apple", "mango", "zebra"]


def test_only_visible_gguf_files_count_in_folders_of_any_depth(paths: Paths) -> None:
    deep = paths.models / "maker" / "model"
    deep.mkdir(parents=True)
    hidden = paths.models / ".cache"
    hidden.mkdir()
    make_tiny_gguf(deep / "tiny.GGUF")
    make_tiny_gguf(hidden / "a.gguf")
    make_tiny_gguf(paths.models / ".b.gguf")
    make_tiny_gguf(paths.models / "c.gguf.part")
    (paths.models / "readme.txt").write_text("not a model")
    (paths.models / "folder.gguf").mkdir()
    assert ids(Library(paths)) == ["maker/model/tiny"]


def test_ids_are_stable_and_unique(paths: Paths, elsewhere: Path) -> None:
    make_tiny_gguf(paths.models / "tiny.gguf")
    (paths.models / "other").mkdir()
    make_tiny_gguf(paths.models / "other" / "tiny.gguf")
    linked = Library(paths).add(make_tiny_gguf(elsewhere / "tiny.gguf")).id
    assert sorted(ids(Library(paths))) == sorted(["tiny", "other/tiny", linked])
    (paths.models / "tiny.gguf").unlink()
    assert sorted(ids(Library(paths))) == sorted(["other/tiny", linked])
    make_tiny_gguf(paths.models / f"{linked}.gguf")
    assert Library(paths).find(linked).source is Source.LINKED
    assert len(set(ids(Library(paths)))) == 3


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("hello, this is text"), "text file"),
        (lambda path: make_tiny_gguf(path, truncate_to=100_000), "incomplete"),
        (lambda path: make_tiny_gguf(path, metadata={"llama.block_count": 0}), "layers"),
        (lambda path: make_tiny_gguf(path, metadata={"general.architecture": "future"}), "future"),
        (lambda path: path.symlink_to("nowhere"), "not there"),
    ],
)
def test_a_broken_model_is_an_entry_that_says_why(paths: Paths, breaks: Callable[[Path], object], says: str) -> None:
    breaks(paths.models / "broken.gguf")
    make_tiny_gguf(paths.models / "fine.gguf")
    library = Library(paths)
    broken = library.find("broken")
    assert broken.problem is not None
    assert says in broken.problem.text
    assert broken.problem.kind == ("ModelNotSupported" if says == "future" else "ModelFileError")
    assert broken.is_unsupported == (says == "future")
    assert broken.state is EntryState.BROKEN
    assert broken.name == "broken"
    assert library.find("fine").problem is None


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_file_that_may_not_be_read_is_an_entry_that_says_so(paths: Paths) -> None:
    make_tiny_gguf(paths.models / "secret.gguf").chmod(0)
    problem = only(Library(paths)).problem
    assert problem is not None
    assert "permission" in problem.text


def test_names_from_files_are_one_short_line(paths: Paths) -> None:
    make_tiny_gguf(paths.models / "model.gguf", metadata={"general.name": " evil\n\x1b[31m\u202ename " + "x" * 500})
    name = only(Library(paths)).name
    assert name.startswith("evil [31m name xxx")
    assert len(name) == 80


def test_a_model_in_parts_is_one_entry_with_the_size_of_all(paths: Paths) -> None:
    parts = make_split(paths.models)
    single = make_tiny_gguf(paths.models / "single.gguf")
    library = Library(paths)
    entry = library.find("big")
    assert ids(library) == ["big", "single"]
    assert entry.path == parts[0]
    assert entry.problem is None
    assert entry.size_bytes == sum(part.stat().st_size for part in parts)
    assert entry.n_params == 3 * library.find(str(single)).n_params
    for part in parts:
        assert library.find(str(part)) == entry


def test_missing_parts_are_named(paths: Paths) -> None:
    parts = make_split(paths.models, n_parts=6)
    parts[1].unlink()
    one = only(Library(paths)).problem
    assert one is not None
    assert one.text == "big has 6 parts, and big-00002-of-00006.gguf is missing."
    for part in (parts[0], parts[2], parts[4]):
        part.unlink()
    entry = only(Library(paths))
    assert entry.problem is not None
    assert "big-00001-of-00006.gguf" in entry.problem.text
    assert "and 1 more are missing" in entry.problem.text
    assert entry.id == "big"
    assert entry.size_bytes == sum(part.stat().st_size for part in parts if part.exists())


def test_a_damaged_later_part_is_a_problem_of_the_model(paths: Paths) -> None:
    parts = make_split(paths.models)
    parts[2].write_bytes(b"GGUF")
    problem = only(Library(paths)).problem
    assert problem is not None
    assert parts[2].name in problem.text


def test_a_file_elsewhere_is_linked_and_never_copied(paths: Paths, elsewhere: Path) -> None:
    path = make_tiny_gguf(elsewhere / "mine.gguf")
    added = Library(paths).add(path)
    assert (added.id, added.path, added.source) == ("mine", path, Source.LINKED)
    assert only(Library(paths)) == added
    assert list(paths.models.iterdir()) == []


def test_adding_what_is_known_adds_nothing(paths: Paths, elsewhere: Path) -> None:
    inside = make_tiny_gguf(paths.models / "inside.gguf")
    outside = make_tiny_gguf(elsewhere / "outside.gguf")
    (elsewhere / "alias.gguf").symlink_to(outside)
    library = Library(paths)
    assert library.add(inside).source is Source.FOLDER
    first = library.add(outside)
    assert library.add(elsewhere / "alias.gguf") == first
    assert library.add(elsewhere / ".." / elsewhere.name / "outside.gguf") == first
    assert sorted(ids(library)) == ["inside", "outside"]


def test_adding_one_part_adds_the_model(paths: Paths, elsewhere: Path) -> None:
    parts = make_split(elsewhere)
    library = Library(paths)
    assert library.add(parts[1]).path == parts[0]
    assert ids(library) == ["big"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "not there"),
        (lambda path: path.mkdir(), "folder"),
        (lambda path: path.write_text("hello, this is text"), "text file"),
        (lambda path: make_tiny_gguf(path, truncate_to=5000), "incomplete"),
        (lambda path: make_tiny_gguf(path, metadata={"llama.block_count": 10_000}), "10,000 layers"),
    ],
)
def test_what_cannot_be_loaded_cannot_be_added(
    paths: Paths, elsewhere: Path, make: Callable[[Path], object], says: str
) -> None:
    make(elsewhere / "bad.gguf")
    library = Library(paths)
    with pytest.raises(ModelFileError, match=says) as refused:
        library.add(elsewhere / "bad.gguf")
    assert refused.value.hint
    assert library.entries() == []


def test_a_linked_file_that_went_away_stays_in_the_list_and_can_be_forgotten(paths: Paths, elsewhere: Path) -> None:
    path = make_tiny_gguf(elsewhere / "mine.gguf")
    library = Library(paths)
    library.add(path)
    path.unlink()
    entry = only(library)
    assert entry.problem is not None
    assert "not there any more" in entry.problem.text
    library.remove("mine")
    assert Library(paths).entries() == []


def test_forgetting_leaves_the_file(paths: Paths, elsewhere: Path) -> None:
    path = make_tiny_gguf(elsewhere / "mine.gguf")
    library = Library(paths)
    library.remove(library.add(path).id)
    assert library.entries() == []
    assert path.exists()


def test_a_file_in_the_models_folder_cannot_be_forgotten(paths: Paths) -> None:
    path = make_tiny_gguf(paths.models / "tiny.gguf")
    library = Library(paths)
    with pytest.raises(InvalidRequest, match=r"tiny\.gguf"):
        library.remove("tiny")
    with pytest.raises(ModelFileError):
        library.remove("unknown")
    assert path.exists()
    assert ids(library) == ["tiny"]


def test_a_linked_file_that_lies_in_the_models_folder_is_listed_once(paths: Paths, elsewhere: Path) -> None:
    path = make_tiny_gguf(elsewhere / "mine.gguf")
    library = Library(paths)
    library.add(path)
    moved = Paths(paths.data, paths.config, paths.cache, paths.logs, elsewhere)
    assert [(entry.id, entry.source) for entry in Library(moved).entries()] == [("mine", Source.FOLDER)]


def test_a_model_is_found_by_id_or_by_any_path_to_it(
    paths: Paths, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_tiny_gguf(paths.models / "tiny.gguf")
    (elsewhere / "alias.gguf").symlink_to(path)
    monkeypatch.chdir(paths.models)
    monkeypatch.setenv("HOME", str(paths.models.parent))
    library = Library(paths)
    expected = only(library)
    for wanted in ("tiny", str(path), "tiny.gguf", "./tiny.gguf", "~/models/tiny.gguf"):
        assert library.find(wanted) == expected
    assert library.find(str(elsewhere / "alias.gguf")) == expected


def test_a_path_outside_the_library_is_found_without_adding_it(paths: Paths, elsewhere: Path) -> None:
    path = make_tiny_gguf(elsewhere / "once.gguf")
    library = Library(paths)
    entry = library.find(str(path))
    assert (entry.path, entry.name, entry.problem) == (path, "once", None)
    assert library.find(entry.id) == entry
    assert library.entries() == []


def test_an_unknown_model_names_those_there_are(paths: Paths) -> None:
    library = Library(paths)
    with pytest.raises(ModelFileError) as none:
        library.find("llama")
    assert none.value.hint == "There is none yet."
    make_tiny_gguf(paths.models / "tiny.gguf")
    with pytest.raises(ModelFileError, match="There is no model llama") as known:
        library.find("llama")
    assert "tiny" in known.value.hint
    for path in ("/no/such/file", "missing.gguf", "~nobody-here/x.gguf", "nul\0.gguf"):
        with pytest.raises(ModelFileError, match="There is no file"):
            library.find(path)


def test_headers_are_read_once_until_a_file_changes(paths: Paths) -> None:
    read: list[str] = []

    def counting(path: Path, name: str, *, is_part: bool = False, by_llama: bool = False) -> HeaderSummary:
        read.append(path.name)
        return examine_here(path, name, is_part=is_part)

    make_tiny_gguf(paths.models / "a.gguf")
    make_tiny_gguf(paths.models / "b.gguf", truncate_to=1000)
    library = Library(paths, counting)
    library.entries()
    library.entries()
    assert sorted(read) == ["a.gguf", "b.gguf"]
    Library(paths, counting).entries()
    assert sorted(read) == ["a.gguf", "b.gguf", "b.gguf"]
    make_tiny_gguf(paths.models / "a.gguf", metadata={"llama.context_length": 77})
    assert [entry.n_ctx_train for entry in library.entries()] == [77, 0]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"a": 1}'])
def test_facts_that_were_kept_and_are_damaged_are_read_again(paths: Paths, content: bytes) -> None:
    make_tiny_gguf(paths.models / "a.gguf")
    before = Library(paths).entries()
    (paths.cache / "models.json").write_bytes(content)
    assert Library(paths).entries() == before


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"linked": [{"id": 1}]}'])
def test_a_damaged_list_of_links_is_kept_aside_and_told(paths: Paths, elsewhere: Path, content: bytes) -> None:
    make_tiny_gguf(paths.models / "a.gguf")
    paths.library_file.write_bytes(content)
    library = Library(paths)
    assert library.problem is not None
    assert "library.json.corrupt-1" in library.problem.hint
    assert ids(library) == ["a"]
    library.add(make_tiny_gguf(elsewhere / "b.gguf"))
    assert sorted(ids(Library(paths))) == ["a", "b"]
    assert Library(paths).problem is None


def test_a_link_that_cannot_be_saved_is_not_made(
    paths: Paths, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(links, "write_atomically", full)
    monkeypatch.setattr(facts, "write_atomically", full)
    library = Library(paths)
    with pytest.raises(StorageError, match="disk is full"):
        library.add(make_tiny_gguf(elsewhere / "b.gguf"))
    assert library.entries() == []


def test_a_tensor_type_that_nobody_knows_is_a_problem_and_not_a_crash(paths: Paths) -> None:
    make_tiny_gguf(paths.models / "odd.gguf", tensors={"output_norm.weight": RawTensor((64,), 200, bytes(256))})
    assert only(Library(paths)).problem is not None
