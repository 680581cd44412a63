"""Real PostgreSQL servers for the tests here: 15 and 18, each with both kinds of administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from biospark_operator.clients.postgres.servers import Servers
from dev.cluster.postgres import MAJORS, Server
from tests.integration.database.operated import Operated
from tests.postgres import KINDS, Site, kind_id, server


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[int, Server]]:
    """The servers of this worker by major version, each started when it is first asked for."""
    with ExitStack() as stack:

        class Started(dict[int, Server]):
            def __missing__(self, major: int) -> Server:
                self[major] = stack.enter_context(server(major))
                return self[major]

        yield Started()


@pytest.fixture(params=KINDS, ids=kind_id)
def site(request: pytest.FixtureRequest, servers: dict[int, Server]) -> Iterator[Site]:
    """A server and an administrator; the test runs with each."""
    major, superuser = request.param
    with Site(servers[major], superuser) as made:
        yield made


@pytest.fixture(params=MAJORS)
def super_site(request: pytest.FixtureRequest, servers: dict[int, Server]) -> Iterator[Site]:
    """Each server with an administrator who may do everything."""
    with Site(servers[request.param], superuser=True) as made:
        yield made


@pytest.fixture
def one_site(servers: dict[int, Server]) -> Iterator[Site]:
    """The most restricted administrator on the newest server, for what does not depend on them."""
    with Site(servers[18], superuser=False) as made:
        yield made


@pytest.fixture
async def clients() -> AsyncIterator[Servers]:
    """The operator's connections, which are closed when the test ends."""
    opened = Servers()
    yield opened
    await opened.close()


@pytest.fixture
def operated(site: Site, clients: Servers) -> Operated:
    """An environment on each kind of site."""
    return Operated(site, clients, f"{site.name}_db")


@pytest.fixture
def one(one_site: Site, clients: Servers) -> Operated:
    """An environment where the operator may do the least."""
    return Operated(one_site, clients, f"{one_site.name}_db")


@pytest.fixture
def mighty(super_site: Site, clients: Servers) -> Operated:
    """An environment where the operator may do everything."""
    return Operated(super_site, clients, f"{super_site.name}_db")
