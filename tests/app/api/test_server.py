from __future__ import annotations

import socket

import pytest

from app.api.guard import LOOPBACK_NAMES
from app.api.server import Listener
from engine.errors import KnownError


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_on_loopback_only_this_machine_can_connect(host: str) -> None:
    listener = Listener.bind(host, 0)
    with listener.socket:
        assert listener.is_local
        assert listener.address in listener.url
        access = listener.access(None)
        assert access.hosts == LOOPBACK_NAMES | {host, listener.address}
        assert not access.any_address


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_on_all_interfaces_it_is_not_local_and_has_an_address_that_can_be_used(host: str) -> None:
    listener = bound_or_skipped(host)
    with listener.socket:
        assert not listener.is_local
        assert f"{host}:" not in listener.url.replace("[", "").replace("]", "")
        access = listener.access("k")
        assert access.any_address
        assert {"localhost", socket.gethostname().lower()} <= access.hosts


def test_an_address_of_version_6_is_written_in_brackets() -> None:
    listener = bound_or_skipped("::1")
    with listener.socket:
        assert listener.url.startswith("http://[::1]:")


@pytest.mark.parametrize(
    ("host", "said"),
    [("no.such.host.invalid", "no address"), ("192.0.2.1", "cannot listen"), ("a" * 300, "no address"), ("\0", "no")],
    ids=["unknown", "not ours", "too long", "no name"],
)
def test_an_address_that_is_not_there_is_told(host: str, said: str) -> None:
    with pytest.raises(KnownError, match=said):
        Listener.bind(host, 0)


def bound_or_skipped(host: str) -> Listener:
    try:
        return Listener.bind(host, 0)
    except KnownError as error:
        pytest.skip(str(error))
