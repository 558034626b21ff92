"""What Ollama's clients call a model: ``name:tag``, where the tag is "latest" if nothing is said."""

from __future__ import annotations

from app.api.engines import Engines
from app.api.models import ServedModel

_LATEST = ":latest"


def shown_name(model: ServedModel) -> str:
    """Always with a tag, because clients compare it with names that have one."""
    return model.id if ":" in model.id else model.id + _LATEST


def asked_name(engines: Engines, wanted: str) -> str:
    """What to ask ``engines`` for. Neither the tag "latest" nor large and small letters make a difference.

    A name that is not known yet is passed on, because the model may have been added just now.
    """
    bare = wanted.removesuffix(_LATEST)
    names = {bare.casefold(), wanted.casefold()}
    known = [model for model, _ in engines.served()]
    return next(
        (model.id for model in known if model.id.casefold() in names),
        next((model.id for model in known if model.name.casefold() in names), bare),
    )
