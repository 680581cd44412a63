"""Servers that speak another language than English: nothing is decided by what they say."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.postgres.servers import Servers
from biospark_operator.engine.outcome import Failed, Ready
from tests.integration.database.operated import Operated, encoded
from tests.postgres import Site, server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def german() -> Iterator[Site]:
    """A server that speaks German."""
    with server(15, "-german") as running:
        running.stop()
        running.up(language="de")
        with Site(running, superuser=False) as site:
            with pytest.raises(psycopg.OperationalError, match="fehlgeschlagen"):
                psycopg.connect(running.conninfo(password="wrong"))
            yield site


@pytest.fixture
def abroad(german: Site, clients: Servers) -> Operated:
    """An environment on it."""
    return Operated(german, clients, f"{german.name}_db")


async def test_a_wrong_password_of_the_administrator_is_told_as_that(abroad: Operated) -> None:
    abroad.give("admin", encoded({"username": abroad.site.admin, "password": "planted-secret"}))
    report = await abroad.run()
    assert isinstance(report.outcome, Failed)
    assert report.outcome.reason == Reason.DATABASE_LOGIN_REFUSED
    assert "does not accept user and password" in report.outcome.message


async def test_everything_is_made_and_a_changed_password_is_repaired(abroad: Operated) -> None:
    assert isinstance((await abroad.migrated()).outcome, Ready)
    abroad.by_hand("ALTER ROLE {app_1} PASSWORD 'of somebody'")
    assert (await abroad.run()).done
    assert abroad.as_app("SELECT 1") == [(1,)]
    abroad.by_hand("ALTER ROLE {app_1} CONNECTION LIMIT 0")
    assert isinstance((await abroad.run()).outcome, Ready)
