"""What llama.cpp itself says of a model file, without its weights: for a process that may die over it."""

from __future__ import annotations

import os
from pathlib import Path

from engine.backend.bindings import diagnostics, lib
from engine.errors import ModelFileError

_N_CTX = 256
_N_BATCH = 32
_LOAD_MODE_NONE = 0  # enum llama_load_mode, llama.h: no memory map, which goes with no_alloc


def examine(path: Path, name: str) -> None:
    """Let it read the header, lay out every tensor and build its graphs, with nothing allocated. Blocks for some 0.1 s.

    Raises ModelFileError with its words. It may also abort the process, which is why nobody else should be in it.
    """
    said = diagnostics()
    said.errors.clear()
    lib.llama_backend_init()
    params = lib.llama_model_default_params()
    params.no_alloc, params.load_mode, params.n_gpu_layers = True, _LOAD_MODE_NONE, 0
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise _refused(name, said.first_error)
    try:
        if lib.llama_model_has_encoder(model) and not lib.llama_model_has_decoder(model):
            return  # such a model has no cache to lay out
        wishes = lib.llama_context_default_params()
        wishes.n_ctx, wishes.n_batch, wishes.n_ubatch = _N_CTX, _N_BATCH, _N_BATCH
        context = lib.llama_init_from_model(model, wishes)
        if not context:
            raise _refused(name, said.first_error)
        lib.llama_free(context)
    finally:
        lib.llama_model_free(model)


def _refused(name: str, reason: str) -> ModelFileError:
    return ModelFileError(
        f"The engine cannot load {name} ({reason or 'no reason was given'}).",
        "Get the file again, or pick another model.",
    )
