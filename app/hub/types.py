"""What the hub has, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.errors import ErrorInfo


class Sort(StrEnum):
    """The hub's own words for its orders, the largest or newest first."""

    TRENDING = "trending_score"
    DOWNLOADS = "downloads"
    LIKES = "likes"
    UPDATED = "last_modified"
    CREATED = "created_at"


class Task(StrEnum):
    """The hub's own words for what a model does, those that Hearth has a use for."""

    CHAT = "text-generation"
    VISION = "image-text-to-text"
    EMBEDDING = "feature-extraction"
    SIMILARITY = "sentence-similarity"


@dataclass(frozen=True, slots=True)
class HubQuery:
    """``only_runnable`` leaves out what has no GGUF file, or one of an architecture that this build does not know."""

    text: str = ""
    author: str = ""
    sort: Sort = Sort.TRENDING
    task: Task | None = None
    only_runnable: bool = True
    limit: int = 50


class Gated(StrEnum):
    """Whether a person must ask before the files are given out, and who answers: a machine at once, or the authors."""

    NO = "no"
    AUTO = "auto"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class RepoSummary:
    """A repository as a search finds it. What the hub does not tell is None.

    ``id`` is "owner/name"; ``is_convertible`` says that it has safetensors of an architecture that can become GGUF.
    """

    id: str
    n_downloads: int
    n_likes: int
    updated_s: float | None
    task: str | None
    gated: Gated
    is_private: bool
    has_gguf: bool
    is_convertible: bool
    n_params: int | None
    architecture: str | None
    n_ctx_train: int | None
    licence: str | None
    base_model: str | None

    @property
    def author(self) -> str:
        return self.id.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]


class FileKind(StrEnum):
    """MODEL can be loaded by itself; the others go with one: to see or hear, to draft, to change its style."""

    MODEL = "model"
    PROJECTOR = "projector"
    DRAFT = "draft"
    ADAPTER = "adapter"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """``path`` is the one in the repository, a stranger's text. ``sha256`` is the hub's record, if it has one."""

    path: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class FileGroup:
    """One thing to download: a file, or all parts of one.

    ``label`` is its quantization as in file names ("Q4_K_M"), or empty; ``stem`` its path without part and ending.
    ``problem`` is why it cannot be downloaded.
    """

    kind: FileKind
    label: str
    stem: str
    parts: tuple[RemoteFile, ...]
    problem: ErrorInfo | None = None

    @property
    def first(self) -> RemoteFile:
        return self.parts[0]

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Licence:
    """``id`` is the hub's ("apache-2.0", "llama3.1", "other"), ``url`` where its text is, if that is known."""

    id: str
    name: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Convertible:
    """Weights in safetensors that llama.cpp's converter turns into GGUF."""

    size_bytes: int
    n_files: int
    architecture: str | None


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit.

    ``card`` is Markdown by a stranger, without its front matter. ``access`` is why its files cannot be had now.
    ``page_url`` is where a person reads the licence and asks for access. ``endpoint`` is the hub it was found on.
    """

    id: str
    commit: str
    endpoint: str
    page_url: str
    summary: RepoSummary
    card: str
    licence: Licence | None
    gated: Gated
    access: ErrorInfo | None
    groups: tuple[FileGroup, ...]
    convertible: Convertible | None

    @property
    def author(self) -> str:
        return self.summary.author

    @property
    def name(self) -> str:
        return self.summary.name

    def of_kind(self, kind: FileKind) -> tuple[FileGroup, ...]:
        return tuple(group for group in self.groups if group.kind is kind)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A model of the short list for a first start; ``label`` is the file of the repository that is meant."""

    repo_id: str
    label: str
    title: str
    why: str
    licence: str
    n_params: int
    size_bytes: int


class TokenPlace(StrEnum):
    """Where the hub's token is. RUN is the memory of this process only; ENVIRONMENT is HF_TOKEN, or what the hub's own
    command line has signed in with."""

    NONE = "none"
    KEYRING = "keyring"
    FILE = "file"
    RUN = "run"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Account:
    """Whether there is a token for the hub at ``host``, and where it is kept."""

    host: str
    place: TokenPlace
