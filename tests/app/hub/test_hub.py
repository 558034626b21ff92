"""What the hub has, as a person sees it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from app.hub import FileKind, Gated, Hub, HubError, HubProblem, HubQuery, Sort, Task, TokenPlace
from app.jobs import CancelToken
from app.settings import SettingsStore
from engine.errors import Cancelled, InvalidRequest, KnownError, ModelFileError
from engine.gguf import read_header
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.hub_server import Fault, HubServer, random_bytes
from tests.doubles.keyrings import MemoryKeyring
from tests.doubles.openai_server import unused_port

GGUF = {"x-Q4_K_M.gguf": b"GGUF"}
REFUSALS = {
    HubProblem.ASK_ACCESS: ({}, "has not"),
    HubProblem.PENDING: (
        {"refusal": (403, "GatedRepo", "Your request to access model is awaiting a review from the repo authors.")},
        "have not answered",
    ),
    HubProblem.REJECTED: (
        {"refusal": (403, "GatedRepo", "Your request to access model has been rejected by the repo's authors.")},
        "have refused",
    ),
    HubProblem.FORBIDDEN: (
        {
            "refusal": (
                403,
                "",
                "Please enable access to public gated repositories in your fine-grained token settings.",
            )
        },
        "is not allowed to read",
    ),
    HubProblem.BAD_TOKEN: ({"refusal": (401, "", "Invalid credentials in Authorization header")}, "does not accept"),
}


def ids(hub: Hub, query: HubQuery) -> list[str]:
    return [summary.id for summary in hub.search(query)]


def test_a_search_asks_the_hub_as_its_own_pages_do(hub: Hub, server: HubServer) -> None:
    server.add("a/Llama-8B-GGUF", GGUF, info={"downloads": 5})
    server.add("b/Llama-1B-GGUF", GGUF, info={"downloads": 9})
    server.add("b/Other-GGUF", GGUF, info={"pipeline_tag": "feature-extraction"})
    server.add("b/Llama-1B", {"model.safetensors": b"x"}, info={"tags": ["safetensors"]})
    assert ids(hub, HubQuery("llama", sort=Sort.DOWNLOADS)) == ["b/Llama-1B-GGUF", "a/Llama-8B-GGUF"]
    assert ids(hub, HubQuery(author="b", task=Task.CHAT)) == ["b/Llama-1B-GGUF"]
    assert len(ids(hub, HubQuery("llama", only_runnable=False))) == 3
    assert ids(hub, HubQuery("https://huggingface.co/a/Llama-8B-GGUF/tree/main")) == ["a/Llama-8B-GGUF"]


def test_what_this_build_cannot_load_is_left_out(hub: Hub, server: HubServer) -> None:
    server.add("a/new-GGUF", GGUF, info={"gguf": {"architecture": "from-the-future"}})
    server.add("a/old-GGUF", GGUF, info={"gguf": {"architecture": "llama", "total": 8_000_000_000}})
    assert ids(hub, HubQuery()) == ["a/old-GGUF"]
    assert hub.search(HubQuery())[0].n_params == 8_000_000_000


def test_a_repository_groups_its_files(hub: Hub, server: HubServer) -> None:
    data = random_bytes(64)
    names = ["m-Q8_0-00002-of-00002.gguf", "m-Q8_0-00001-of-00002.gguf", "m-Q4_K_M.gguf", "mmproj-m-F16.gguf"]
    names += ["m-draft-Q4_0.gguf", "m-lora-F16.gguf", "m.imatrix.gguf", "config.json"]
    server.add("a/m-GGUF", {**dict.fromkeys(names, data), "README.md": b"---\nlicense: mit\n---\n# Model m"})
    repository = hub.repository("a/m-GGUF")
    assert [(group.kind, group.label, len(group.parts)) for group in repository.groups] == [
        (FileKind.MODEL, "Q4_K_M", 1),
        (FileKind.MODEL, "Q8_0", 2),
        (FileKind.PROJECTOR, "F16", 1),
        (FileKind.DRAFT, "Q4_0", 1),
        (FileKind.ADAPTER, "F16", 1),
    ]
    assert repository.groups[1].first.path.endswith("00001-of-00002.gguf")
    assert repository.card == "# Model m"
    assert repository.licence is not None
    assert repository.licence.name == "Apache 2.0"
    assert repository.commit == server.repos["a/m-GGUF"].commit


def test_a_split_file_that_misses_a_part_says_so(hub: Hub, server: HubServer) -> None:
    server.add("a/m-GGUF", {"m-Q8_0-00001-of-00003.gguf": b"GGUF"})
    (group,) = hub.repository("a/m-GGUF").groups
    assert group.problem is not None
    assert "1 of its 3 parts" in group.problem.text


def test_safetensors_that_can_be_converted_are_marked(hub: Hub, server: HubServer) -> None:
    server.add(
        "a/m",
        {"model-00001-of-00002.safetensors": b"12", "model-00002-of-00002.safetensors": b"345"},
        info={"tags": ["safetensors"], "config": {"architectures": ["LlamaForCausalLM"]}},
    )
    repository = hub.repository("a/m")
    assert repository.convertible is not None
    assert (repository.convertible.size_bytes, repository.convertible.n_files) == (5, 2)
    assert repository.summary.is_convertible


def test_a_header_is_read_from_the_first_bytes_alone(hub: Hub, server: HubServer, tmp_path: Path) -> None:
    path = make_tiny_gguf(tmp_path / "tiny-F32.gguf")
    big = path.read_bytes()
    server.add("a/tiny-GGUF", {"tiny-F32.gguf": big})
    repository = hub.repository("a/tiny-GGUF")
    header = hub.remote_header(repository, repository.groups[0])
    assert header.metadata.keys() == read_header(path).metadata.keys()
    assert header.n_params == read_header(path).n_params
    n_requests = len(server.heard)
    assert hub.remote_header(repository, repository.groups[0]) is header
    assert len(server.heard) == n_requests
    assert all("range" in heard.headers for heard in server.byte_requests)


def test_a_file_that_is_no_model_is_told_by_its_header(hub: Hub, server: HubServer) -> None:
    server.add("a/bad-GGUF", {"bad-Q4_0.gguf": b"<html>Sign in</html>"})
    repository = hub.repository("a/bad-GGUF")
    with pytest.raises(ModelFileError, match="web page"):
        hub.remote_header(repository, repository.groups[0])


@pytest.mark.parametrize(("problem", "options", "words"), [(p, o, w) for p, (o, w) in REFUSALS.items()])
def test_who_may_not_have_the_files_learns_the_exact_reason(
    hub: Hub, server: HubServer, problem: HubProblem, options: dict[str, object], words: str
) -> None:
    server.add("a/gated-GGUF", {**GGUF, "README.md": b"# Hi"}, gated="manual", **options)
    hub.set_token("hf_mine", TokenPlace.KEYRING)
    repository = hub.repository("a/gated-GGUF")
    assert repository.gated is Gated.MANUAL
    assert repository.access is not None
    assert repository.access.kind == problem.value
    assert words in repository.access.text
    assert repository.groups, "what there is can be seen all the same"


def test_with_the_right_token_a_gated_repository_is_open(hub: Hub, server: HubServer) -> None:
    server.add("a/gated-GGUF", {**GGUF, "README.md": b"# Hi"}, gated="auto", allowed_tokens=("hf_mine",))
    access = hub.repository("a/gated-GGUF").access
    assert access is not None
    assert access.kind == HubProblem.SIGN_IN.value
    hub.set_token("hf_mine", TokenPlace.KEYRING)
    repository = hub.repository("a/gated-GGUF")
    assert repository.access is None
    assert repository.card == "# Hi"


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(status=429, headers={"Retry-After": "120"}), HubProblem.RATE_LIMIT),
        (Fault(status=429, headers={"RateLimit": '"api";r=0;t=55'}), HubProblem.RATE_LIMIT),
        (Fault(status=503), HubProblem.SERVER),
        (Fault(status=418), HubProblem.ANSWER),
    ],
)
def test_a_fault_of_the_hub_is_told_at_once(hub: Hub, server: HubServer, fault: Fault, problem: HubProblem) -> None:
    server.api_faults = [fault]
    with pytest.raises(HubError) as caught:
        hub.search(HubQuery("x"))
    assert caught.value.problem is problem
    assert len(server.heard) == 1


def test_a_repository_that_is_not_there_is_told(hub: Hub) -> None:
    with pytest.raises(HubError) as caught:
        hub.repository("a/missing")
    assert caught.value.problem is HubProblem.SIGN_IN
    with pytest.raises(KnownError, match="owner/name"):
        hub.repository("../x")


def test_offline_is_one_clear_sentence(hub: Hub, settings: SettingsStore) -> None:
    settings.update(hub_endpoint=f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(HubError) as caught:
        hub.search(HubQuery("x"))
    assert caught.value.problem is HubProblem.OFFLINE
    assert hub.recommended()[0].repo_id


def test_an_answer_that_is_none_is_told(hub: Hub, server: HubServer) -> None:
    server.add("a/odd-GGUF", GGUF, info={"lastModified": "yesterday"})
    with pytest.raises(HubError) as caught:
        hub.repository("a/odd-GGUF")
    assert caught.value.problem is HubProblem.ANSWER


def test_a_wait_is_cancelled_at_once(hub: Hub, server: HubServer) -> None:
    held = threading.Event()
    server.faults = [Fault(stall_after=1)]
    server.on_bytes = lambda heard: held.set()
    server.add("a/x-GGUF", {"x-Q4_0.gguf": b"GGUF"})
    repository = hub.repository("a/x-GGUF")
    cancel = CancelToken()
    threading.Thread(target=lambda: (held.wait(20), cancel.cancel()), daemon=True).start()
    with pytest.raises(Cancelled):
        hub.remote_header(repository, repository.groups[0], cancel)


def test_the_account_behind_a_token_has_a_name(hub: Hub, server: HubServer, keyring: MemoryKeyring) -> None:
    server.accounts = {"hf_mine": "ada"}
    hub.set_token(" hf_mine ", TokenPlace.KEYRING)
    assert hub.who() == "ada"
    assert list(keyring.kept.values()) == ["hf_mine"]
    hub.set_token("hf_wrong", TokenPlace.RUN)
    assert keyring.kept == {}
    with pytest.raises(HubError) as caught:
        hub.who()
    assert caught.value.problem is HubProblem.BAD_TOKEN
    hub.forget_token()
    assert hub.account().place is TokenPlace.NONE
    with pytest.raises(InvalidRequest):
        hub.set_token("two words", TokenPlace.RUN)


@pytest.mark.parametrize("typed", ["http://hub.example.com", "ftp://x", "https://u:p@hub.example.com", "https://"])
def test_an_address_that_anybody_could_read_or_change_is_refused(hub: Hub, settings: SettingsStore, typed: str) -> None:
    settings.update(hub_endpoint=typed)
    with pytest.raises(InvalidRequest):
        hub.search(HubQuery("x"))
