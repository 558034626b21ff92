"""The list is there at once; what is not known yet is read behind it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from app.library import EntryState, Library, Origin
from app.paths import Paths
from engine.errors import ModelFileError
from engine.gguf.summary import HeaderSummary
from engine.probe import HeaderProbe, examine_here
from tests.doubles.gguf import CHATML, Typed, make_tiny_gguf


def never(path: Path, name: str, *, is_part: bool = False, by_llama: bool = False) -> HeaderSummary:
    raise AssertionError(f"{name} was read")


def read_in_background(library: Library) -> int:
    """Refresh, and wait until nothing is unread. Returns how often there was news."""
    done, n_news = threading.Event(), 0

    def on_news() -> None:
        nonlocal n_news
        n_news += 1
        if all(entry.state is not EntryState.READING for entry in library.known()):
            done.set()

    unsubscribe = library.subscribe(on_news)
    library.refresh()
    assert done.wait(30)
    unsubscribe()
    return n_news


def test_what_is_not_known_is_shown_before_it_is_read(paths: Paths) -> None:
    path = make_tiny_gguf(paths.models / "My-Model-Q4_K_M.gguf")
    (entry,) = Library(paths, never).known()
    assert (entry.state, entry.problem, entry.path) == (EntryState.READING, None, path)
    assert (entry.name, entry.size_bytes) == ("My-Model-Q4_K_M", path.stat().st_size)


def test_what_was_read_behind_the_list_is_known_from_then_on(paths: Paths) -> None:
    make_tiny_gguf(paths.models / "a.gguf")
    (paths.models / "b.gguf").write_text("text")
    library = Library(paths)
    assert read_in_background(library) >= 1
    a, b = library.known()
    assert (a.state, a.architecture, b.state) == (EntryState.READY, "llama", EntryState.BROKEN)
    library.close()
    again = Library(paths, never).known()
    assert [entry.state for entry in again] == [EntryState.READY, EntryState.READING]
    assert again[0] == a


def test_it_is_read_by_another_process(paths: Paths) -> None:
    make_tiny_gguf(paths.models / "a.gguf")
    library = Library(paths, HeaderProbe())
    read_in_background(library)
    assert [entry.architecture for entry in library.known()] == ["llama"]
    library.close()


def test_what_a_person_adds_is_looked_at_by_llama(paths: Paths, elsewhere: Path) -> None:
    library = Library(paths, HeaderProbe())
    path = make_tiny_gguf(elsewhere / "odd.gguf", tensors={"blk.1.ffn_up.weight": None})
    with pytest.raises(ModelFileError, match="ffn_up"):
        library.add(path)
    assert library.entries() == []
    library.close()


def test_only_the_model_that_is_asked_for_is_read(paths: Paths) -> None:
    read: list[str] = []

    def counting(path: Path, name: str, *, is_part: bool = False, by_llama: bool = False) -> HeaderSummary:
        read.append(path.name)
        return examine_here(path, name, is_part=is_part)

    for name in ("a", "b", "c"):
        make_tiny_gguf(paths.models / f"{name}.gguf")
    assert Library(paths, counting).find("b").state is EntryState.READY
    assert read == ["b.gguf"]


def test_where_it_came_from_and_when_it_was_used(paths: Paths) -> None:
    path = paths.models / "a" / "tiny.gguf"
    origin = Origin("owner/name", "f" * 40, "tiny.gguf", "0" * 64, "apache-2.0", "https://huggingface.co")
    library = Library(paths)
    library.record_origin(path, origin)  # before the file has its final name
    path.parent.mkdir()
    make_tiny_gguf(path, metadata={"general.license": "other"})
    entry = library.find("a/tiny")
    assert (entry.origin, entry.licence, entry.last_used_s) == (origin, "apache-2.0", None)
    library.note_use(entry)
    used = Library(paths).find("a/tiny").last_used_s
    assert used is not None
    moved = paths.models.with_name("moved")
    paths.models.rename(moved)
    assert Library(Paths(paths.data, paths.config, paths.cache, paths.logs, moved)).find("a/tiny").origin == origin


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"a": {"origin": 3}}'])
def test_damaged_records_are_set_aside(paths: Paths, content: bytes) -> None:
    make_tiny_gguf(paths.models / "a.gguf")
    (paths.data / "models.json").write_bytes(content)
    library = Library(paths)
    assert [entry.origin for entry in library.entries()] == [None]
    assert (paths.data / "models.json.corrupt-1").read_bytes() == content
    library.note_use(library.find("a"))
    assert Library(paths).find("a").last_used_s is not None


def test_the_same_model_has_the_same_fingerprint_wherever_it_lies(paths: Paths, elsewhere: Path) -> None:
    make_tiny_gguf(paths.models / "a.gguf")
    make_tiny_gguf(paths.models / "b.gguf", metadata={"llama.rope.freq_base": 500.0})
    library = Library(paths)
    same = library.add(make_tiny_gguf(elsewhere / "c.gguf"))
    a, b = library.find("a"), library.find("b")
    assert a.fingerprint == same.fingerprint != b.fingerprint


def test_details_are_words(paths: Paths) -> None:
    make_tiny_gguf(paths.models / "a.gguf", metadata={"few": Typed("arr:i32", [1, 2]), "general.license": "mit"})
    details = Library(paths).details("a")
    metadata = dict(details.metadata)
    assert (metadata["few"], metadata["general.license"]) == ("1, 2", "mit")
    assert metadata["tokenizer.ggml.tokens"] == "263 items"
    assert metadata["llama.attention.layer_norm_rms_epsilon"] == "1e-05"
    assert details.template == CHATML
    assert [(one.name, one.n_tensors) for one in details.tensor_types] == [("F32", 21)]
    assert details.entry.licence == "mit"


def test_watchers_that_fail_do_not_keep_the_others_from_the_news(paths: Paths, elsewhere: Path) -> None:
    library, heard = Library(paths), []

    def fail() -> None:
        raise RuntimeError("a mistake")

    library.subscribe(fail)
    library.subscribe(lambda: heard.append(True))
    library.add(make_tiny_gguf(elsewhere / "a.gguf"))
    assert heard
