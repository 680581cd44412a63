"""Which addresses the service listens on, and what addresses its clients have there."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from biospark_api import server
from biospark_api.server import ListenError


def peer_of(listener: socket.socket, address: str) -> str:
    """Connect to a listener by an address, and return the address that it sees."""
    listener.listen()
    with socket.create_connection((address, listener.getsockname()[1]), timeout=5), listener.accept()[0] as accepted:
        return str(accepted.getpeername()[0])


def test_all_addresses_are_those_of_both_families_on_one_port_and_clients_keep_theirs() -> None:
    with server._bound("::", 0, "BIOSPARK_PORT") as sockets:
        assert len({listener.getsockname()[1] for listener in sockets}) == 1
        seen = {
            address: peer_of(listener, address) for listener, address in zip(sockets, ("127.0.0.1", "::1"), strict=True)
        }
    assert seen == {"127.0.0.1": "127.0.0.1", "::1": "::1"}


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_one_address_is_one_socket(address: str) -> None:
    with server._bound(address, 0, "BIOSPARK_PORT") as sockets:
        (listener,) = sockets
        assert listener.getsockname()[0] == address


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_machine_without_ipv6_serves_ipv4_and_refuses_an_address_of_the_other(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    class Without(socket.socket):
        def __init__(self, family: Any, *rest: Any) -> None:
            if family == socket.AF_INET6 and code == errno.EAFNOSUPPORT:
                raise OSError(code, "Address family not supported by protocol")
            super().__init__(family, *rest)

        def bind(self, address: Any) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(code, "Cannot assign requested address")
            super().bind(address)

    monkeypatch.setattr(server.socket, "socket", Without)  # type: ignore[attr-defined]
    with server._bound("::", 0, "BIOSPARK_PORT") as sockets:
        assert [listener.family for listener in sockets] == [socket.AF_INET]
    with ExitStack() as stack, pytest.raises(ListenError, match="cannot listen on ::1 port 0"):
        stack.enter_context(server._bound("::1", 0, "BIOSPARK_PORT"))


def test_a_port_that_is_taken_in_one_family_is_refused() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken, ExitStack() as stack:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on :: port {port} .* Address already in use"):
            stack.enter_context(server._bound("::", port, "BIOSPARK_PORT"))
