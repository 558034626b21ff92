"""The models on this machine: those in the models folder, and files elsewhere that a person has added."""

from app.library.library import Library
from app.library.types import ModelEntry, Source

__all__ = ["Library", "ModelEntry", "Source"]
