"""``search`` and ``download``: models from the hub, in the terminal."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence

from app.cli.terminal import EXIT_DONE, EXIT_FAILED, Terminal
from app.cli.words import count_text, size_text, table
from app.downloads import DownloadItem, Downloads, DownloadState
from app.downloads.origins import recorder
from app.hub import TOKEN_FILE_NAME, FileGroup, FileKind, Hub, HubQuery, Repository, TokenStore
from app.library import Library
from app.paths import Paths
from app.settings import SettingsStore
from engine.errors import InvalidRequest

_ENDED = frozenset({DownloadState.DONE, DownloadState.FAILED})
_LINE_CHARS = 78


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="*", help="words of the repository's name")
    parser.add_argument("--author", default="", help="whose repositories")
    parser.add_argument("--limit", type=int, default=20, help="how many at most (default 20)")


def add_download_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="OWNER/NAME[:FILE]", help="FILE is a quantization (Q4_K_M) or a file's name")


def search(arguments: argparse.Namespace, paths: Paths, terminal: Terminal) -> int:
    hub = _hub(paths, SettingsStore(paths.settings_file))
    try:
        found = hub.search(HubQuery(" ".join(arguments.text), arguments.author, limit=arguments.limit))
    finally:
        hub.close()
    if not found:
        terminal.note("Nothing was found that can run here.")
        return EXIT_DONE
    rows = [
        (each.id, count_text(each.n_params) if each.n_params else "", f"{each.n_downloads:,}", each.licence or "")
        for each in found
    ]
    terminal.write(table([("REPOSITORY", "PARAMETERS", "DOWNLOADS", "LICENCE"), *rows]) + "\n")
    return EXIT_DONE


def download(arguments: argparse.Namespace, paths: Paths, library: Library, terminal: Terminal) -> int:
    """Ctrl+C keeps what is here; the same command goes on. The window's own list is left alone."""
    settings = SettingsStore(paths.settings_file)
    hub = _hub(paths, settings)
    downloads = Downloads(paths.models, None, hub, settings, recorder(library))
    repo_id, _, wish = arguments.what.partition(":")
    try:
        repository = hub.repository(repo_id)
        group = _chosen(repository, wish)
        if group is None:
            terminal.write(_offer(repository.groups))
            terminal.note(f"Choose one: run download {repo_id}:{repository.groups[0].label or 'FILE'}")
            return EXIT_FAILED
        download_id = downloads.enqueue(repository, group)
        item = _follow(downloads, download_id, terminal)
    finally:
        downloads.close()
        hub.close()
    if item.problem is not None:
        terminal.note(item.problem.sentence)
        return EXIT_FAILED
    terminal.write("".join(f"{path}\n" for path in item.paths))
    return EXIT_DONE


def _hub(paths: Paths, settings: SettingsStore) -> Hub:
    return Hub(lambda: settings.current, TokenStore(paths.config / TOKEN_FILE_NAME))


def _chosen(repository: Repository, wish: str) -> FileGroup | None:
    """None where there are several and none was named. Raises InvalidRequest."""
    groups = repository.groups
    if not groups:
        raise InvalidRequest(f"{repository.id} has no GGUF files.", "Search for a repository that has: run search")
    if not wish:
        models = repository.of_kind(FileKind.MODEL)
        return models[0] if len(models) == 1 else None
    for group in groups:
        names = {group.label, group.stem, group.stem.rpartition("/")[2], *(part.path for part in group.parts)}
        if wish.casefold() in {name.casefold() for name in names}:
            return group
    labels = ", ".join(group.label or group.stem for group in groups)
    raise InvalidRequest(f"{repository.id} has no {wish}.", f"There is: {labels}.")


def _offer(groups: Sequence[FileGroup]) -> str:
    rows = [(group.label, group.kind.value, size_text(group.size_bytes), group.first.path) for group in groups]
    return table([("TYPE", "KIND", "SIZE", "FILE"), *rows]) + "\n"


def _follow(downloads: Downloads, download_id: str, terminal: Terminal) -> DownloadItem:
    """Show progress until it ends, whichever way."""
    ended = threading.Event()
    shows = terminal.stderr.isatty()

    def show(items: tuple[DownloadItem, ...]) -> None:
        for item in items:
            if item.id == download_id:
                if shows:
                    terminal.note("\r" + _line(item).ljust(_LINE_CHARS), end="")
                if item.state in _ENDED:
                    ended.set()

    unsubscribe = downloads.subscribe(show)
    show(downloads.items())
    ended.wait()
    unsubscribe()
    if shows:
        terminal.note("")
    return next(item for item in downloads.items() if item.id == download_id)


def _line(item: DownloadItem) -> str:
    text = f"{size_text(item.done_bytes)} of {size_text(item.total_bytes)}"
    if item.state is DownloadState.CHECKING:
        return f"{text}, checking"
    if item.problem is not None:
        return f"{text}, waiting: {item.problem.text}"[:_LINE_CHARS]
    left = f", {_time(item.time_left_s)} left" if item.time_left_s is not None else ""
    return f"{text}, {size_text(int(item.bytes_per_s))}/s{left}"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes}:{rest:02}"
