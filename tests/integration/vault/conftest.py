"""Real OpenBao servers for the tests here, that let ServiceAccounts of the shared control plane log in."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from biospark_operator.clients.vault.server import Vault, Vaults
from dev.cluster.api import Api
from dev.cluster.openbao import Server
from tests.openbao import AUDIENCE, Site, server

#: In dev mode, the active process of a group, and its standby, which answers reads from the past.
KINDS = ("dev", "active", "standby")
TokenOf = Callable[[str, str, int], str]


@pytest.fixture(scope="session")
def dev(kubeconfig: str) -> Iterator[Server]:
    """A server in dev mode."""
    with server() as running:
        running.trust(Path(kubeconfig))
        yield running


@pytest.fixture(scope="session")
def group(kubeconfig: str) -> Iterator[Server]:
    """A group of two with TLS and an audit log. No test stops or seals any of it."""
    with server(2) as running:
        running.trust(Path(kubeconfig))
        yield running


@pytest.fixture(scope="session")
def account(kubeconfig: str) -> Iterator[tuple[str, str]]:
    """Namespace and name of a ServiceAccount, as the operator's."""
    namespace, name = "default", f"operator-{uuid.uuid4().hex[:8]}"
    with Api(Path(kubeconfig)) as api:
        metadata = {"name": name, "namespace": namespace}
        api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        yield namespace, name
        api.delete(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")


@pytest.fixture(scope="session")
def token_of(kubeconfig: str, account: tuple[str, str]) -> TokenOf:
    """Tokens as the kubelet projects them: `token_of(account, audience, seconds)`."""

    def token(name: str = account[1], audience: str = AUDIENCE, seconds: int = 3600) -> str:
        with Api(Path(kubeconfig)) as api:
            return api.token(account[0], name, (audience,), seconds)

    return token


@pytest.fixture
def token_file(tmp_path: Path, token_of: TokenOf, account: tuple[str, str]) -> Path:
    """The file with the token of the operator's ServiceAccount."""
    file = tmp_path / "token"
    file.write_text(token_of(account[1], AUDIENCE, 3600))
    return file


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, token_file: Path, account: tuple[str, str]) -> Iterator[Site]:
    """Each kind of server; the test runs with each."""
    running: Server = request.getfixturevalue("dev" if request.param == "dev" else "group")
    node = running.standby() if request.param == "standby" else running.await_leader()
    with Site(running, node, token_file, account) as made:
        yield made


@pytest.fixture
def one(dev: Server, token_file: Path, account: tuple[str, str]) -> Iterator[Site]:
    """The server in dev mode, for what does not depend on the kind."""
    with Site(dev, dev.nodes[0], token_file, account) as made:
        yield made


@pytest.fixture
def lagging(group: Server, token_file: Path, account: tuple[str, str]) -> Iterator[Site]:
    """The standby of a group."""
    with Site(group, group.standby(), token_file, account) as made:
        yield made


@pytest.fixture
async def vaults() -> AsyncIterator[Vaults]:
    """The operator's connections, which are closed when the test ends."""
    opened = Vaults()
    yield opened
    await opened.close()


@pytest.fixture
def vault(site: Site, vaults: Vaults) -> Vault:
    """The operator's connection to each kind of server, with every right."""
    return vaults.at(site.address, site.admit())
