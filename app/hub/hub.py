"""The hub: search, repositories, headers of files that are not here, and who is signed in."""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.hub.card import MAX_CARD_BYTES, body_of
from app.hub.endpoint import checked_endpoint, endpoint_of, file_url, page_url
from app.hub.errors import HubError, HubProblem, bad_answer
from app.hub.files import group_files
from app.hub.names import checked_repo_id
from app.hub.resolve import Origin, fetch
from app.hub.tokens import TokenStore
from app.hub.types import Account, FileGroup, Gated, HubQuery, Recommendation, Repository, RepoSummary, TokenPlace
from app.hub.wire import Wire
from app.jobs import CancelToken
from app.settings import Settings
from engine.errors import Cancelled, ErrorInfo, KnownError
from engine.gguf import GgufHeader, NeedMore, PrefixSource, read_header_from
from resources import recommended_models

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

_log = logging.getLogger(__name__)
T = TypeVar("T")

_MAX_RESULTS = 200
_FIRST_HEADER_BYTES = 1 << 20
_MAX_HEADERS_KEPT = 64
_PASTED = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<id>[^/?#\s]+/[^/?#\s]+)")
_EXPAND = ["author", "config", "downloads", "gated", "gguf", "lastModified", "library_name", "likes", "pipeline_tag"]
_EXPAND += ["private", "safetensors", "tags"]


class Hub:
    """Thread: any but that of a window; every method waits for the network unless it says otherwise.

    ``cancel`` ends the wait at once with Cancelled. All failures are KnownErrors, mostly HubErrors.
    """

    def __init__(self, settings: Callable[[], Settings], tokens: TokenStore) -> None:
        self._settings = settings
        self._tokens = tokens
        self._lock = threading.Lock()
        self._headers: OrderedDict[tuple[str, str], GgufHeader] = OrderedDict()
        self._closing = CancelToken()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="hub")

    @property
    def executor(self) -> Executor:
        """Threads for calls of this class, so that a slow hub does not hold up the disk's."""
        return self._pool

    @property
    def endpoint(self) -> str:
        """The hub's address. Raises InvalidRequest for one that is none."""
        return endpoint_of(self._settings().hub_endpoint)

    def endpoints(self) -> tuple[str, ...]:
        """Where files may be fetched from: the hub, then its mirrors. Raises InvalidRequest."""
        return tuple(dict.fromkeys((self.endpoint, *map(checked_endpoint, self._settings().hub_mirrors))))

    def token(self, endpoint: str) -> str | None:
        return self._tokens.token(endpoint)

    def search(self, query: HubQuery, cancel: CancelToken | None = None) -> tuple[RepoSummary, ...]:
        """Repositories, in the order of the query."""
        return self._call(lambda: self._search(query), cancel)

    def repository(self, repo_id: str, revision: str | None = None, cancel: CancelToken | None = None) -> Repository:
        """A repository's page and files, at the commit that ``revision`` is now."""
        checked_repo_id(repo_id)
        return self._call(lambda: self._repository(repo_id, revision), cancel)

    def remote_header(self, repository: Repository, group: FileGroup, cancel: CancelToken | None = None) -> GgufHeader:
        """The header of a file, of its first part where there are several. Fetches its first megabytes, once.

        Raises ModelFileError as well.
        """
        return self._header(repository, group, 0, cancel)

    def remote_headers(
        self, repository: Repository, group: FileGroup, cancel: CancelToken | None = None
    ) -> tuple[GgufHeader, ...]:
        """Those of all parts: their tensors together are the model's."""
        return tuple(self._header(repository, group, number, cancel) for number in range(len(group.parts)))

    def recommended(self) -> tuple[Recommendation, ...]:
        """The short list for a first start. Asks nobody."""
        return tuple(Recommendation(**entry) for entry in recommended_models())

    def account(self) -> Account:
        """Waits for the keyring only."""
        return self._tokens.account(self.endpoint)

    def set_token(self, typed: str, place: TokenPlace) -> None:
        """Waits for the keyring and the disk. Raises InvalidRequest, KeyringUnavailable, StorageError."""
        self._tokens.put(self.endpoint, typed, place)

    def forget_token(self) -> None:
        self._tokens.forget(self.endpoint)

    def who(self, cancel: CancelToken | None = None) -> str:
        """The name of the account that the token belongs to."""
        endpoint = self.endpoint
        if self.token(endpoint) is None:
            raise HubError(HubProblem.SIGN_IN, "No access token is set.", "Paste one from the hub's settings.")
        answer: Any = self._call(lambda: _understood(endpoint, lambda: self._api().whoami()), cancel)
        name = answer.get("name") if isinstance(answer, dict) else None
        if not isinstance(name, str):
            raise bad_answer(endpoint, "whoami has no name")
        return name[:100]

    def close(self) -> None:
        """Take no more calls, and end the wait for those under way."""
        self._closing.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _call(self, call: Callable[[], T], cancel: CancelToken | None) -> T:
        return _cancellable(call, cancel, self._closing)

    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        from app.hub.session import install

        install()
        endpoint = self.endpoint
        return HfApi(endpoint=endpoint, token=self.token(endpoint) or False)

    def _search(self, query: HubQuery) -> tuple[RepoSummary, ...]:
        from app.hub.answers import is_runnable, summary_of

        limit = min(query.limit, _MAX_RESULTS)
        found = _understood(
            self.endpoint,
            lambda: list(
                self._api().list_models(
                    search=_words(query.text) or None,
                    author=query.author.strip() or None,
                    sort=query.sort.value,
                    pipeline_tag=query.task.value if query.task is not None else None,
                    filter=["gguf"] if query.only_runnable else None,
                    limit=min(2 * limit, _MAX_RESULTS) if query.only_runnable else limit,
                    expand=_EXPAND,  # type: ignore[arg-type]  # its literal types are one longer than ours
                )
            ),
        )
        summaries = _understood(self.endpoint, lambda: [summary_of(info) for info in found])
        return tuple(each for each in summaries if not query.only_runnable or is_runnable(each))[:limit]

    def _repository(self, repo_id: str, revision: str | None) -> Repository:
        from app.hub.answers import convertible_of, files_of, licence_in, summary_of

        endpoint = self.endpoint
        info: ModelInfo = _understood(
            endpoint, lambda: self._api().model_info(repo_id, revision=revision, files_metadata=True)
        )
        commit = info.sha if isinstance(info.sha, str) and re.fullmatch(r"[0-9a-f]{40}", info.sha) else None
        if commit is None:
            raise bad_answer(endpoint, "it tells no commit")
        summary = _understood(endpoint, lambda: summary_of(info))
        files = _understood(endpoint, lambda: files_of(info))
        return Repository(
            id=repo_id,
            commit=commit,
            endpoint=endpoint,
            page_url=page_url(endpoint, repo_id),
            summary=summary,
            card=self._card(endpoint, repo_id, commit) if any(f.path == "README.md" for f in files) else "",
            licence=_understood(endpoint, lambda: licence_in(info)),
            gated=summary.gated,
            access=self._access(repo_id) if summary.gated is not Gated.NO else None,
            groups=group_files(files, summary.name),
            convertible=_understood(endpoint, lambda: convertible_of(info, files)),
        )

    def _card(self, endpoint: str, repo_id: str, commit: str) -> str:
        """Empty where it cannot be had: the files are there all the same."""
        origin = Origin(endpoint, repo_id, commit, "README.md", self.token(endpoint))
        wire = Wire(CancelToken())
        try:
            data = fetch(wire, origin, origin.url, {}).read(MAX_CARD_BYTES)
        except (HubError, OSError) as error:
            _log.info("the card of %s cannot be read: %s", repo_id, error)
            return ""
        finally:
            wire.close()
        return body_of(data.decode("utf-8", "replace"))

    def _access(self, repo_id: str) -> ErrorInfo | None:
        try:
            _understood(self.endpoint, lambda: self._api().auth_check(repo_id))
        except HubError as error:
            return error.info
        return None

    def _header(self, repository: Repository, group: FileGroup, number: int, cancel: CancelToken | None) -> GgufHeader:
        if group.problem is not None:
            raise KnownError(group.problem.text, group.problem.hint)
        part = group.parts[number]
        key = (part.sha256 or file_url(repository.endpoint, repository.id, repository.commit, part.path), part.path)
        with self._lock:
            known = self._headers.get(key)
        if known is None:
            token = self.token(repository.endpoint)
            origin = Origin(repository.endpoint, repository.id, repository.commit, part.path, token)
            known = self._call(lambda: _read_header(origin, part.size_bytes), cancel)
            with self._lock:
                self._headers[key] = known
                while len(self._headers) > _MAX_HEADERS_KEPT:
                    self._headers.popitem(last=False)
        return known


def _read_header(origin: Origin, size_bytes: int) -> GgufHeader:
    """Fetch as much of a file's beginning as the reader asks for."""
    source = PrefixSource(Path(origin.path).name, size_bytes)
    wire = Wire(CancelToken())
    n_bytes = min(size_bytes, _FIRST_HEADER_BYTES)
    try:
        while True:
            asked = n_bytes - len(source)
            reply = fetch(wire, origin, origin.url, {"Range": f"bytes={len(source)}-{n_bytes - 1}"})
            span = reply.span
            if span is None or span.start not in (0, len(source)) or span.total != size_bytes:
                raise bad_answer(origin.url, f"It gives {span} of {size_bytes}.")
            skipped = len(source) - span.start
            data = reply.read(skipped + asked)[skipped:]
            if len(data) != asked:
                raise bad_answer(origin.url, "It gives less than it was asked for.")
            source.extend(data)
            try:
                return read_header_from(source)
            except NeedMore as more:
                n_bytes = more.n_bytes
    except OSError as error:
        from app.hub.errors import from_transport

        raise from_transport(error, origin.url) from error
    finally:
        wire.close()


def _understood(endpoint: str, call: Callable[[], T]) -> T:
    """What a library makes of an answer, where that may be anything. Raises HubError."""
    try:
        return call()
    except HubError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise bad_answer(endpoint, f"{type(error).__name__}: {error}") from error


def _cancellable(call: Callable[[], T], *tokens: CancelToken | None) -> T:
    """Run it on a thread that nobody has to wait for: a look-up of a name cannot be stopped. Raises Cancelled."""
    outcome: Future[T] = Future()
    settled = threading.Event()
    outcome.add_done_callback(lambda _: settled.set())

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            outcome.set_exception(error)

    forget = [token.on_cancel(settled.set) for token in tokens if token is not None]
    threading.Thread(target=work, name="hub-call", daemon=True).start()
    settled.wait()
    for end in forget:
        end()
    if not outcome.done():
        raise Cancelled
    return outcome.result()


def _words(text: str) -> str:
    """What was typed, or the repository whose address was pasted."""
    pasted = _PASTED.search(text)
    return pasted["id"] if pasted else " ".join(text.split())
