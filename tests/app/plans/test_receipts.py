from __future__ import annotations

from pathlib import Path

import pytest

from app.plans import ReceiptBook
from engine.receipt import BufferKind, BufferUse, DeviceUse, Receipt
from tests.doubles.machines import GIB, MIB, cpu, gpu

DEVICES = (gpu(24), cpu())


def _receipt(other_bytes: int, device: str = "CUDA0") -> Receipt:
    buffer = BufferUse(device, device, BufferKind.WEIGHTS, 4 * GIB)
    return Receipt((buffer,), (DeviceUse(device, 24 * GIB, 20 * GIB, 16 * GIB - other_bytes),))


def test_nothing_is_corrected_before_anything_was_loaded(tmp_path: Path) -> None:
    made = ReceiptBook(tmp_path / "receipts.json").corrections("m", DEVICES)
    assert (dict(made.other_bytes), made.decode_factor) == ({}, 1.0)


def test_what_loads_took_beyond_their_buffers_is_learned(tmp_path: Path) -> None:
    book = ReceiptBook(tmp_path / "receipts.json")
    book.learn(_receipt(70 * MIB))
    assert book.corrections("m", DEVICES).other_bytes == {0: 70 * MIB}
    assert ReceiptBook(tmp_path / "receipts.json").corrections("m", DEVICES).other_bytes == {0: 70 * MIB}


def test_one_load_beside_another_program_does_not_spoil_the_next(tmp_path: Path) -> None:
    book = ReceiptBook(tmp_path / "receipts.json")
    for other in (70 * MIB, 72 * MIB, 900 * MIB, 5 * GIB):
        book.learn(_receipt(other))
    assert book.corrections("m", DEVICES).other_bytes == {0: 72 * MIB}


def test_the_processors_memory_teaches_nothing(tmp_path: Path) -> None:
    book = ReceiptBook(tmp_path / "receipts.json")
    book.learn(_receipt(70 * MIB, "CPU"))
    assert not book.corrections("m", DEVICES).other_bytes


def test_measured_speed_corrects_what_is_predicted_of_that_model(tmp_path: Path) -> None:
    book = ReceiptBook(tmp_path / "receipts.json")
    book.learn_speed("m", predicted=100.0, measured=80.0)
    assert book.corrections("m", DEVICES).decode_factor == pytest.approx(0.8)
    book.learn_speed("m", predicted=80.0, measured=80.0)
    assert book.corrections("m", DEVICES).decode_factor == pytest.approx(0.8)
    assert book.corrections("another", DEVICES).decode_factor == 1.0


def test_a_damaged_file_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "receipts.json"
    path.write_bytes(b"{")
    book = ReceiptBook(path)
    book.learn(_receipt(70 * MIB))
    assert ReceiptBook(path).corrections("m", DEVICES).other_bytes == {0: 70 * MIB}


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    book = ReceiptBook(tmp_path / "file" / "receipts.json")
    book.learn(_receipt(70 * MIB))
    assert book.corrections("m", DEVICES).other_bytes == {0: 70 * MIB}
