"""What the library says of repositories, downloads and models."""

from __future__ import annotations

import time
from datetime import date

from app.downloads import DownloadItem, DownloadState
from app.hub import Convertible, FileGroup, FileKind, Gated, Repository, RepoSummary, Sort, Task
from app.library import ModelEntry, Source
from ui.models.words import count_text, size_text

SORTS = {
    Sort.TRENDING: "Trending",
    Sort.DOWNLOADS: "Most downloads",
    Sort.LIKES: "Most likes",
    Sort.UPDATED: "Changed last",
    Sort.CREATED: "Newest",
}
TASKS = {
    None: "Any task",
    Task.CHAT: "Chat",
    Task.VISION: "Images and text",
    Task.EMBEDDING: "Embeddings",
    Task.SIMILARITY: "Similarity",
}
KINDS = {
    FileKind.MODEL: "Model",
    FileKind.PROJECTOR: "Projector: lets the model see or hear",
    FileKind.DRAFT: "Draft: makes the model faster",
    FileKind.ADAPTER: "Adapter: changes how the model writes",
}
STATES = {
    DownloadState.WAITING: "Waiting",
    DownloadState.RUNNING: "Downloading",
    DownloadState.CHECKING: "Checking",
    DownloadState.RETRYING: "Trying again",
    DownloadState.PAUSED: "Paused",
    DownloadState.FAILED: "Failed",
    DownloadState.DONE: "Finished",
}

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_DAYS_WITH_NUMBER = 30
_SOURCES = {Source.STARTER: "Came with Hearth", Source.FOLDER: "Models folder", Source.LINKED: "Linked"}


def joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def time_left(left_s: float) -> str:
    """``46 s left``, ``12 min left``, ``3.5 h left``"""
    if left_s < 1.5 * _MINUTE_S:
        return f"{max(1, round(left_s))} s left"
    if left_s < 1.5 * _HOUR_S:
        return f"{round(left_s / _MINUTE_S)} min left"
    return f"{left_s / _HOUR_S:.1f} h left"


def ago(then_s: float | None, now_s: float | None = None) -> str:
    """``today``, ``3 days ago``, ``March 2025``; nothing for None."""
    if then_s is None:
        return ""
    n_days = int(((time.time() if now_s is None else now_s) - then_s) // _DAY_S)
    if n_days < 1:
        return "today"
    if n_days < _DAYS_WITH_NUMBER:
        return "yesterday" if n_days == 1 else f"{n_days} days ago"
    return f"{date.fromtimestamp(then_s):%B %Y}"


def summary_facts(summary: RepoSummary) -> str:
    """The quiet line below a result's name."""
    n_params = count_text(summary.n_params) if summary.n_params else ""
    downloads = f"{count_text(summary.n_downloads)} downloads" if summary.n_downloads else ""
    gated = "" if summary.gated is Gated.NO else "asks for consent"
    needs = "not GGUF" if not summary.has_gguf else ""
    return joined(summary.author, n_params, downloads, gated, needs)


def repository_facts(repository: Repository) -> str:
    """The line below a repository's title."""
    summary = repository.summary
    return joined(
        repository.author,
        repository.licence.name if repository.licence else "no licence told",
        f"{count_text(summary.n_params)} parameters" if summary.n_params else "",
        f"{summary.n_ctx_train:,} tokens of context" if summary.n_ctx_train else "",
        f"changed {ago(summary.updated_s)}" if summary.updated_s else "",
    )


def group_name(group: FileGroup) -> str:
    return group.label or group.stem.rpartition("/")[2]


def group_size(group: FileGroup) -> str:
    n_parts = len(group.parts)
    return size_text(group.size_bytes) + (f" in {n_parts} files" if n_parts > 1 else "")


def convertible_words(convertible: Convertible) -> str:
    what = f" ({convertible.architecture})" if convertible.architecture else ""
    return (
        f"These weights{what} are {size_text(convertible.size_bytes)} of safetensors. They can become GGUF, but not in "
        "this version. Look for a repository that has GGUF files of it."
    )


def download_words(item: DownloadItem) -> str:
    """``3.1 of 5.0 GB · 41 MB/s · 46 s left``"""
    if item.state is DownloadState.DONE:
        return joined("Finished", size_text(item.total_bytes))
    done = f"{size_text(item.done_bytes)} of {size_text(item.total_bytes)}"
    if item.state is DownloadState.RUNNING:
        speed = f"{size_text(round(item.bytes_per_s))}/s" if item.bytes_per_s else ""
        return joined(done, speed, time_left(item.time_left_s) if item.time_left_s is not None else "")
    if item.state is DownloadState.RETRYING and item.retry_in_s is not None:
        return joined(f"Trying again in {max(1, round(item.retry_in_s))} s", done)
    return joined(STATES[item.state], done)


def place_words(entry: ModelEntry) -> str:
    """Where a model came from, in a few words."""
    if entry.origin is not None and entry.origin.repo_id:
        return entry.origin.repo_id
    return f"From {entry.app.label}" if entry.app is not None else _SOURCES[entry.source]


def queue_words(items: tuple[DownloadItem, ...]) -> tuple[str, float | None, bool]:
    """What the rail says of the downloads, how far they are (None where there is none), and whether one has failed."""
    going = [item for item in items if item.state is not DownloadState.DONE]
    if not going:
        return "", None, False
    failed = sum(item.state is DownloadState.FAILED for item in going)
    total = sum(item.total_bytes for item in going)
    fraction = sum(item.done_bytes for item in going) / total if total else 0.0
    count = "1 download" if len(going) == 1 else f"{len(going)} downloads"
    words = f"{count}, {fraction:.0%}" + (f", {failed} failed" if failed else "")
    return words, fraction, failed > 0
