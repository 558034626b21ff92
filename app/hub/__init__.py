"""The hub from which models come: search, repositories, headers of files elsewhere, tokens."""

from app.hub.errors import HubError, HubProblem
from app.hub.hub import Hub
from app.hub.tokens import TOKEN_FILE_NAME, TokenStore
from app.hub.types import (
    Account,
    Convertible,
    FileGroup,
    FileKind,
    Gated,
    HubQuery,
    Licence,
    Recommendation,
    RemoteFile,
    Repository,
    RepoSummary,
    Sort,
    Task,
    TokenPlace,
)

__all__ = [
    "TOKEN_FILE_NAME",
    "Account",
    "Convertible",
    "FileGroup",
    "FileKind",
    "Gated",
    "Hub",
    "HubError",
    "HubProblem",
    "HubQuery",
    "Licence",
    "Recommendation",
    "RemoteFile",
    "RepoSummary",
    "Repository",
    "Sort",
    "Task",
    "TokenPlace",
    "TokenStore",
]
