"""llama.cpp's C API, loaded once, with its abort text and its log caught.

``lib`` is the module ``llama_cpp.llama_cpp``. Its package's own ``__init__`` is not run: it imports numpy, a web of
helpers and ``diskcache`` (which unpickles files), and costs 0.4 s of every start of a worker.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import os
import re
import sys
import types
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.backend import ABORT_MARK

_GGML_BASE_NAMES = ("libggml-base.so.0", "libggml-base.0.dylib", "libggml-base.dylib", "ggml-base.dll")
_MAX_REASON = 200
_LOG_LEVEL_WARN, _LOG_LEVEL_ERROR, _LOG_LEVEL_CONTINUE = 3, 4, 5  # enum ggml_log_level, ggml.h


def _load() -> Any:
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("llama-cpp-python is not installed")
        package = types.ModuleType("llama_cpp")
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules["llama_cpp"] = package
    return importlib.import_module("llama_cpp.llama_cpp")


lib: Any = _load()
"""Untyped on purpose: its annotations describe ctypes loosely and differ from release to release."""


def library_folder() -> Path:
    return Path(lib._base_path)


def load_ggml_base() -> ctypes.CDLL | None:
    """The library that llama.cpp itself uses. By its soname: ``libggml-base.so`` would be an inert second copy."""
    for name in _GGML_BASE_NAMES:
        if (path := library_folder() / name).exists():
            return ctypes.CDLL(str(path))
    return None


class Diagnostics:
    """Keeps llama.cpp's last log lines and sends them, and the text of an abort, to stderr.

    Thread: callbacks come on any of llama.cpp's threads.
    """

    def __init__(self) -> None:
        self.errors: deque[str] = deque(maxlen=30)
        self.listener: Callable[[str], None] | None = None
        """Gets every line, while something is loaded."""

        self._level = 0
        self._on_log = lib.llama_log_callback(self._log)
        self._on_abort = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(self._abort)
        lib.llama_log_set(self._on_log, None)
        base = load_ggml_base()
        if base is not None:
            base.ggml_set_abort_callback.restype = ctypes.c_void_p
            base.ggml_set_abort_callback(self._on_abort)

    @property
    def first_error(self) -> str:
        """The first error since the list was cleared: the cause; what follows are its consequences. May be empty.

        Not longer than a sentence should be: it may quote a stranger's file.
        """
        line = self.errors[0] if self.errors else ""
        return re.sub(r"^\w+: (error loading model: )?", "", line).rstrip(".")[:_MAX_REASON]

    def _log(self, level: int, text: bytes, _user_data: object) -> None:
        if level != _LOG_LEVEL_CONTINUE:
            self._level = level
        if self.listener is not None:
            self.listener(text.decode(errors="replace"))
        if self._level in (_LOG_LEVEL_WARN, _LOG_LEVEL_ERROR):
            os.write(2, text)
            if self._level == _LOG_LEVEL_ERROR:
                self.errors.append(text.decode(errors="replace").strip())

    def _abort(self, message: bytes) -> None:
        os.write(2, b"\n" + ABORT_MARK.encode() + message + b"\n")


@functools.cache
def diagnostics() -> Diagnostics:
    """The one of this process. llama.cpp keeps its callbacks for good, so they must never be collected."""
    return Diagnostics()


def native_flag() -> tuple[Any, Any]:
    """A C callback that reads a flag without Python: (function pointer for ggml_abort_callback, two-byte flag).

    ggml asks its abort callback before every node of the graph, about a thousand times a token; entering Python for
    that costs as much as the token. ``strlen`` of the flag has the same calling convention and is true when the first
    byte is set. Set it with ``flag[0] = 1``; thread: any.
    """
    flag = (ctypes.c_char * 2)()
    runtime = ctypes.CDLL("msvcrt") if sys.platform == "win32" else ctypes.CDLL(None)
    return ctypes.cast(runtime.strlen, lib.ggml_abort_callback), flag
