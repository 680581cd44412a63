"""What the tests on a real PostgreSQL share: a server per worker and a migrated database per test."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dev.cluster.postgres import MAJORS
from tests.api.postgres import Server, running
from tests.api.service import Service, running_service


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The PostgreSQL server of this worker, of the newest version unless a test asks for another."""
    with running(getattr(request, "param", MAJORS[-1])) as started:
        yield started


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """A migrated database to copy."""
    server.create_migrated("migrated")
    return "migrated"


@pytest.fixture
def database(server: Server, template: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = f"t_{uuid.uuid4().hex}"
    server.create_database(name, template)
    yield name
    server.drop_database(name)


@pytest.fixture
def empty_database(server: Server) -> Iterator[str]:
    """A database without a schema."""
    name = f"t_{uuid.uuid4().hex}"
    server.create_database(name)
    yield name
    server.drop_database(name)


@pytest.fixture(scope="session")
def service(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that many tests use at once: each makes its own patients and users, and changes nothing else."""
    server.create_database("shared", template)
    with running_service(server, "shared", tmp_path_factory.mktemp("service"), log_level="debug") as started:
        yield started


@pytest.fixture
def start(server: Server, database: str, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services with settings of their own on the test's own database; gone at the end."""
    with ExitStack() as stack:

        def started(**settings: object) -> Service:
            return stack.enter_context(running_service(server, database, tmp_path, **settings))

        yield started
