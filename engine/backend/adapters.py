"""LoRA adapters (Hu et al. 2021) of a loaded model: small matrices whose products are added to its own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.backend.bindings import diagnostics, lib
from engine.errors import ModelFileError
from engine.gguf import check_adapter, read_header
from engine.gguf.summary import FileKind, file_kind
from engine.types import AdapterUse


class LlamaAdapters:
    """Implements ``base.Adapters``. Thread: the engine's. llama.cpp frees them with their model."""

    def __init__(self, model: Any, context: Any) -> None:
        self._model = model
        self._context = context
        self._loaded: dict[tuple[str, int, int], Any] = {}

    def check(self, uses: Sequence[AdapterUse]) -> None:
        for use in uses:
            self._handle(Path(use.path))

    def apply(self, uses: Sequence[AdapterUse]) -> None:
        handles = [self._handle(Path(use.path)) for use in uses]
        pointers = (lib.llama_adapter_lora_p_ctypes * len(handles))(*handles)
        scales = (ctypes.c_float * len(uses))(*(use.scale for use in uses))
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        lib.llama_set_adapters_lora(self._context, pointers, len(handles), scales)

    def _handle(self, path: Path) -> Any:
        """Loaded once for each state of its file."""
        header = read_header(path)
        if file_kind(header) is not FileKind.ADAPTER:
            raise ModelFileError(f"{path.name} is not an adapter (LoRA).", "Pick a GGUF file that is one.")
        check_adapter(header)
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns)
        if key not in self._loaded:
            said = diagnostics()
            said.errors.clear()
            handle = lib.llama_adapter_lora_init(self._model, os.fsencode(path))
            if not handle:
                raise ModelFileError(
                    f"The adapter {path.name} does not go with this model ({said.first_error or 'no reason given'}).",
                    "Turn it off, or pick one that was made for this model.",
                )
            self._loaded[key] = handle
        return self._loaded[key]
