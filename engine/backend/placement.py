"""Where a model goes: the settings of a load as llama.cpp's parameters."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.backend.bindings import lib
from engine.backend.buffers import BufferLog
from engine.backend.ggml import TYPES, DeviceKind, Handle, handles
from engine.config import EngineConfig
from engine.errors import InvalidRequest

_SPLIT_NONE = 0  # enum llama_split_mode, llama.h
_LOAD_NONE, _LOAD_MMAP = 0, 1  # enum llama_load_mode
_FLASH_OFF, _FLASH_ON = 0, 1  # enum llama_flash_attn_type


DEFAULT_N_CTX = 8192
MAX_PATHS = 32
"""Conversations that can have cells at the same time. Each one costs a row of logits."""
MOST_STATES = 4
"""The same for recurrent and hybrid models, where each one costs a whole state, whether it is used or not."""


@dataclass(frozen=True, slots=True)
class SequenceForm:
    """How many sequences a context has: one a path, as many twins where windows need them, and one to copy through."""

    n_paths: int
    has_state: bool
    n_window: int

    @classmethod
    def of(cls, model: Any, config: EngineConfig) -> SequenceForm:
        has_state = bool(lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model))
        n_paths = min(MOST_STATES, config.n_parallel) if has_state else MAX_PATHS
        return cls(n_paths, has_state, lib.llama_model_n_swa(model))

    @property
    def n_seq_max(self) -> int:
        return self.n_paths * (2 if self.n_window > 0 else 1) + 1


class _Override(ctypes.Structure):
    """``struct llama_model_tensor_buft_override``, llama.h"""

    _fields_ = [("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p)]


class Placement:
    """Keeps alive what the parameters point to: until the model is loaded, it must not be collected."""

    def __init__(self, config: EngineConfig) -> None:
        """Raises InvalidRequest where the config names a device that is not there."""
        self._config = config
        self._known = {handle.name: handle for handle in handles()}
        self.gpus = self._chosen_gpus()
        self._devices = _pointers([gpu.address for gpu in self.gpus])
        self._overrides = self._make_overrides()
        self._split: Any = None

    def buffer_log(self) -> BufferLog:
        host = next(handle.name for handle in self._known.values() if handle.kind is DeviceKind.CPU)
        return BufferLog({handle.buffer_name: handle.name for handle in self._known.values() if handle.is_gpu}, host)

    @property
    def known(self) -> tuple[Handle, ...]:
        """Every device of this machine."""
        return tuple(self._known.values())

    def fill_model(self, params: Any) -> None:
        """Put the config into ``llama_model_params``."""
        config = self._config
        if config.n_gpu_layers is not None:
            params.n_gpu_layers = config.n_gpu_layers
        if config.devices is not None:
            params.devices = ctypes.addressof(self._devices)
        if config.devices is not None and len(self.gpus) == 1:
            params.split_mode, params.main_gpu = _SPLIT_NONE, 0
        if config.tensor_split:
            self._split = (ctypes.c_float * lib.llama_max_devices())(*config.tensor_split)
            params.tensor_split = self._split
        if config.tensor_overrides:
            params.tensor_buft_overrides = ctypes.addressof(self._overrides)
        if config.use_mmap is not None:
            params.load_mode = _LOAD_MMAP if config.use_mmap else _LOAD_NONE

    def context_params(self, model: Any, config: EngineConfig) -> Any:
        """``llama_context_params`` for a model of ours; threads and callbacks are the caller's."""
        params = lib.llama_context_default_params()
        params.n_ctx = usable_n_ctx(model, config.n_ctx)
        params.n_batch = params.n_ubatch = config.n_ubatch
        params.n_seq_max = SequenceForm.of(model, config).n_seq_max
        params.n_outputs_max = params.n_seq_max  # the least that llama.cpp allows
        params.kv_unified = True
        params.no_perf = True
        if config.kv_type_k is not None:
            params.type_k = TYPES[config.kv_type_k]
        if config.kv_type_v is not None:
            params.type_v = TYPES[config.kv_type_v]
        if config.flash_attention is not None:
            params.flash_attn_type = _FLASH_ON if config.flash_attention else _FLASH_OFF
        return params

    def _chosen_gpus(self) -> list[Handle]:
        """Those that are named; else those that llama.cpp takes by itself: integrated ones only without others."""
        if self._config.devices is not None:
            return [self._find(name) for name in self._config.devices]
        gpus = [handle for handle in self._known.values() if handle.is_gpu]
        return [gpu for gpu in gpus if gpu.kind == min(other.kind for other in gpus)]

    def _find(self, name: str) -> Handle:
        handle = self._known.get(name)
        if handle is None:
            there = ", ".join(self._known)
            raise InvalidRequest(f"There is no device {name} here, only {there}.", "Load the model again.")
        return handle

    def _make_overrides(self) -> Any:
        pairs = self._config.tensor_overrides
        array = (_Override * (len(pairs) + 1))()
        for place, (pattern, device) in zip(array, pairs, strict=False):
            place.pattern, place.buffer_type = pattern.encode(), self._find(device).buffer_type
        return array


def usable_n_ctx(model: Any, wished: int | None) -> int:
    """Never more than the model was trained for: beyond that it answers nonsense."""
    trained: int = lib.llama_model_n_ctx_train(model)
    n_ctx = wished or DEFAULT_N_CTX
    return min(n_ctx, trained) if trained > 0 else n_ctx


def kv_names(config: EngineConfig) -> str:
    """Names the types of the cells, for a fingerprint."""
    names = f"{config.kv_type_k or 'f16'} keys, {config.kv_type_v or 'f16'} values"
    flash = {None: "", True: ", flash attention", False: ", no flash attention"}[config.flash_attention]
    return names + flash


def _pointers(addresses: Sequence[int]) -> Any:
    """A list that ends with NULL."""
    return (ctypes.c_void_p * (len(addresses) + 1))(*addresses)
