"""A pytest plugin (``-p tests.doubles.no_qt -p no:pytest-qt``): importing Qt fails, in this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

QT_PACKAGES = frozenset({"PySide6", "shiboken6"})


class NoQtFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in QT_PACKAGES:
            raise ImportError(f"{fullname} cannot be imported in this test run", name=fullname)
        return None


sys.meta_path.insert(0, NoQtFinder())


def pytest_addoption(parser: pytest.Parser) -> None:
    """Accept the settings of the plugin that is left out."""
    parser.addini("qt_api", "unused")
    parser.addini("qt_log_level_fail", "unused")
    parser.addini("qt_log_ignore", "unused", type="linelist")
