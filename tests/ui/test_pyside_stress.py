"""PySide6 6.12.0 loses a reference to None on nearly every void call; Python 3.11 aborts after some thousands."""

from __future__ import annotations

import subprocess
import sys

N_CALLS = 400_000
SCRIPT = f"""
from PySide6.QtWidgets import QApplication, QLabel
application = QApplication([])
label = QLabel("x")
for _ in range({N_CALLS // 2}):
    label.setText("a")
    label.update()
"""


def test_four_hundred_thousand_void_calls_do_not_abort() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
