"""How long the list of models takes to open and to filter, by hand: ``python -m tests.benchmarks.library_list [N]``.

Real files in a real library (headers known from an earlier run, as on any start but the first), the real table on an
offscreen screen. Opening is from the wish to see the list until its first paint; a key is from the press until the
filtered rows are painted.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from app.library import Library
from app.paths import Paths
from tests.doubles.gguf import make_tiny_gguf
from ui.library.models_view import ModelsView
from ui.theme import theme

FAMILIES = ("Qwen3", "Llama-3.2", "gemma-3", "Mistral-Small", "Phi-4", "SmolLM2", "gpt-oss", "granite")
TYPED = "qwen3 17"


class Painted(QObject):
    """When a widget was last painted."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s = 0.0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Paint:
            self.at_s = time.perf_counter()
        return False


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")


def fill(folder: Path, n_models: int) -> None:
    first = make_tiny_gguf(folder / "first.gguf")
    for number in range(n_models):
        shutil.copyfile(first, folder / f"{FAMILIES[number % len(FAMILIES)]}-{number}-Instruct-Q4_K_M.gguf")
    first.unlink()


def wait_for_paint(app: QApplication, painted: Painted, since_s: float) -> float:
    """Milliseconds."""
    deadline_s = since_s + 2
    while painted.at_s < since_s and time.perf_counter() < deadline_s:
        app.processEvents()
    app.processEvents()
    return (painted.at_s - since_s) * 1000


def main(n_models: int) -> None:
    app = QApplication([])
    theme.install()
    with tempfile.TemporaryDirectory() as name:
        paths = Paths.below(Path(name))
        paths.ensure()
        fill(paths.models, n_models)
        library = Library(paths)
        begin_s = time.perf_counter()
        library.entries()
        say(f"{n_models} models, headers read for the first time: {time.perf_counter() - begin_s:.1f} s")
        library.close()
        library = Library(paths)
        for attempt in range(3):
            view, painted = ModelsView(), Painted()
            view.resize(1220, 764)
            view.list.viewport().installEventFilter(painted)
            begin_s = time.perf_counter()
            entries = library.known()
            known_ms = (time.perf_counter() - begin_s) * 1000
            view.table.show_entries(entries)
            view.show_count()
            view.show()
            total_ms = wait_for_paint(app, painted, begin_s)
            say(f"open {attempt + 1}: {total_ms:.0f} ms, with {known_ms:.0f} ms off the window's thread for the list")
        view.search.textChanged.connect(lambda text: (view.table.look_for(text), view.show_count()))
        keys_ms = []
        for character in TYPED + "\b" * len(TYPED):
            begin_s = time.perf_counter()
            if character == "\b":
                QTest.keyClick(view.search, Qt.Key.Key_Backspace)
            else:
                QTest.keyClicks(view.search, character)
            keys_ms.append(wait_for_paint(app, painted, begin_s))
        say(f"a key: median {statistics.median(keys_ms):.1f} ms, longest {max(keys_ms):.1f} ms")
        library.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
