"""Finds the models of other apps, in the layouts that they document. Nothing is copied, changed or deleted there."""

from app.library.elsewhere.found import Finder, FoundModel, Surroundings
from app.library.elsewhere.hub_cache import HubCache
from app.library.elsewhere.jan import Jan
from app.library.elsewhere.lm_studio import LmStudio
from app.library.elsewhere.ollama import Ollama

FINDERS: tuple[Finder, ...] = (Ollama(), LmStudio(), Jan(), HubCache())

__all__ = ["FINDERS", "Finder", "FoundModel", "HubCache", "Jan", "LmStudio", "Ollama", "Surroundings"]
