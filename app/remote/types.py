"""Servers elsewhere and their models, as the user sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar
from urllib.parse import quote

import msgspec

from engine.errors import ErrorInfo

_PREFIX = "remote:"


class KeyPlace(StrEnum):
    """Where a server's key is. RUN is the memory of this process only; FILE one that only its owner may read."""

    NONE = "none"
    KEYRING = "keyring"
    FILE = "file"
    RUN = "run"


class RemoteServer(msgspec.Struct, frozen=True):
    """A server that speaks OpenAI's protocol. Its endpoints are below ``address``; ``models`` are those that the user
    chose, by the names that the server knows them by."""

    id: str
    name: str
    address: str
    models: tuple[str, ...] = ()
    key_place: KeyPlace = KeyPlace.NONE


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """One model of a server, beside the models of the library. It is always worth a try.

    ``model`` is what the server calls it.
    """

    problem: ClassVar[ErrorInfo | None] = None

    server: RemoteServer
    model: str

    @property
    def name(self) -> str:
        """For people: llama-server calls a model by the path of its file unless it is told otherwise."""
        is_file = self.model.lower().endswith(".gguf")
        return re.split(r"[/\\]", self.model)[-1][: -len(".gguf")] or self.model if is_file else self.model

    @property
    def id(self) -> str:
        return model_id(self.server.id, self.model)

    @property
    def path(self) -> str:
        """What stands in the place of a file's path in LoadSpec and in the events."""
        return self.id


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a server. The key is in no text that is made of this."""

    server_name: str
    address: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """What a server says of one of its models; 0 where it does not."""

    name: str
    n_ctx: int = 0
    n_ctx_train: int = 0
    n_params: int = 0
    size_bytes: int = 0
    n_vocab: int = 0
    owner: str = ""


def model_id(server_id: str, model_name: str) -> str:
    """Without slashes, which the names of models are full of, so that nobody takes it for a path."""
    return f"{_PREFIX}{server_id}:{quote(model_name, safe='')}"


def is_remote(id_or_path: str) -> bool:
    """Whether this names a server's model, known or not."""
    return id_or_path.startswith(_PREFIX)
