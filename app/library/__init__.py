"""The models on this machine: those in the models folder, and files elsewhere that a person has added."""

from app.library.details import ModelDetails, TensorType
from app.library.hashes import Hashes
from app.library.imports import Importable, Imported, Importer, OtherApp, Refused
from app.library.library import Library
from app.library.types import App, Companion, EntryState, ModelEntry, Origin, Source
from app.library.upkeep import Deleted, DuplicateGroup, Outcome, Upkeep, Verification

__all__ = [
    "App",
    "Companion",
    "Deleted",
    "DuplicateGroup",
    "EntryState",
    "Hashes",
    "Importable",
    "Imported",
    "Importer",
    "Library",
    "ModelDetails",
    "ModelEntry",
    "Origin",
    "OtherApp",
    "Outcome",
    "Refused",
    "Source",
    "TensorType",
    "Upkeep",
    "Verification",
]
