"""Strangers' files are read by a process that may die over them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.errors import ModelFileError, ModelNotSupported
from engine.gguf.summary import FileKind
from engine.probe import HeaderProbe, examine_here
from tests.doubles.gguf import RawTensor, make_tiny_gguf


@pytest.fixture
def probe() -> Iterator[HeaderProbe]:
    probe = HeaderProbe()
    yield probe
    probe.rest()


def child() -> psutil.Process:
    (found,) = [one for one in psutil.Process().children() if "engine.probe" in one.cmdline()]
    return found


def test_it_says_the_same_as_this_process(tmp_path: Path, probe: HeaderProbe) -> None:
    path = make_tiny_gguf(tmp_path / "tiny.gguf")
    there, here = probe(path, "tiny.gguf"), examine_here(path, "tiny.gguf")
    assert there == here
    assert (there.kind, there.architecture, there.width, there.n_layers) == (FileKind.MODEL, "llama", 64, 2)
    assert (there.n_vocab, there.has_template, there.size_bytes) == (263, True, path.stat().st_size)


def test_one_process_reads_many_files(tmp_path: Path, probe: HeaderProbe) -> None:
    path = make_tiny_gguf(tmp_path / "tiny.gguf")
    probe(path, "tiny.gguf")
    pid = child().pid
    probe(path, "tiny.gguf")
    assert child().pid == pid
    probe.rest()
    assert not psutil.pid_exists(pid)


def test_a_broken_file_is_a_sentence_with_the_name_it_goes_by(tmp_path: Path, probe: HeaderProbe) -> None:
    path = make_tiny_gguf(tmp_path / "sha256-00", metadata={"llama.block_count": 0})
    with pytest.raises(ModelFileError, match=r"llama3:8b is damaged: it claims 0 layers") as caught:
        probe(path, "llama3:8b")
    assert caught.value.hint


def test_what_is_too_new_is_told_from_what_is_broken(tmp_path: Path, probe: HeaderProbe) -> None:
    path = make_tiny_gguf(tmp_path / "new.gguf", metadata={"general.architecture": "future"})
    with pytest.raises(ModelNotSupported, match="future"):
        probe(path, "new.gguf")


def test_llama_finds_what_a_header_alone_does_not_show(tmp_path: Path, probe: HeaderProbe) -> None:
    path = make_tiny_gguf(tmp_path / "odd.gguf", tensors={"blk.1.ffn_up.weight": None})
    probe(path, "odd.gguf")
    with pytest.raises(ModelFileError, match=r"cannot load odd\.gguf .*ffn_up"):
        probe(path, "odd.gguf", by_llama=True)
    whole = make_tiny_gguf(tmp_path / "tiny.gguf")
    assert probe(whole, "tiny.gguf", by_llama=True).architecture == "llama"


def test_a_death_over_a_file_is_one_sentence(tmp_path: Path) -> None:
    dying = (sys.executable, "-c", "import os, sys; sys.stdin.buffer.read(4); os.abort()")
    probe = HeaderProbe(command=dying)
    for _ in range(2):
        with pytest.raises(ModelFileError, match=r"stopped while it loaded tiny\.gguf.*SIGABRT|code 3") as caught:
            probe(tmp_path / "tiny.gguf", "tiny.gguf")
        assert caught.value.hint
    probe.rest()


def test_a_death_between_two_files_is_nobodys_fault(tmp_path: Path, probe: HeaderProbe) -> None:
    path = make_tiny_gguf(tmp_path / "tiny.gguf")
    probe(path, "tiny.gguf")
    gone = child()
    gone.kill()
    psutil.wait_procs([gone], timeout=10)
    assert probe(path, "tiny.gguf").architecture == "llama"


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="signals")
def test_a_process_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    path = make_tiny_gguf(tmp_path / "tiny.gguf")
    probe = HeaderProbe(header_timeout_s=20.0, llama_timeout_s=0.3)
    probe(path, "tiny.gguf")
    stuck = child()
    os.kill(stuck.pid, signal.SIGSTOP)
    with pytest.raises(ModelFileError, match="did not come to an end"):
        probe(path, "tiny.gguf", by_llama=True)
    assert not stuck.is_running()
    probe.rest()


def test_nothing_is_left_after_it_rests(tmp_path: Path) -> None:
    probe = HeaderProbe()
    probe(make_tiny_gguf(tmp_path / "tiny.gguf"), "tiny.gguf")
    probe.rest()
    probe.rest()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("probe-")]
    assert not [one for one in psutil.Process().children() if "engine.probe" in one.cmdline()]


def test_a_file_that_is_not_there(tmp_path: Path, probe: HeaderProbe) -> None:
    with pytest.raises(ModelFileError, match="not there any more"):
        probe(tmp_path / "gone.gguf", "gone.gguf")


def test_a_later_part_need_not_be_loadable(tmp_path: Path, probe: HeaderProbe) -> None:
    part = make_tiny_gguf(tmp_path / "part.gguf", metadata={"tokenizer.ggml.model": None})
    with pytest.raises(ModelFileError):
        probe(part, "part.gguf")
    assert probe(part, "part.gguf", is_part=True).n_params > 0


def test_adapters_and_projectors_are_told_apart(tmp_path: Path, probe: HeaderProbe) -> None:
    lora = {"blk.3.attn_q.weight.lora_a": RawTensor((64, 4), 0, bytes(1024))}
    adapter = make_tiny_gguf(tmp_path / "a.gguf", metadata={"general.type": "adapter"}, tensors=lora)
    found = probe(adapter, "a.gguf")
    assert (found.kind, found.width, found.n_layers) == (FileKind.ADAPTER, 64, 4)
    vision = {"general.architecture": "clip", "clip.vision.projection_dim": 64}
    projector = make_tiny_gguf(tmp_path / "mmproj.gguf", metadata=vision)
    assert (probe(projector, "p").kind, probe(projector, "p").width) == (FileKind.PROJECTOR, 64)
