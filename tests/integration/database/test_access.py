"""How the operator gets to a server: TLS and the Secrets of its own namespace, and what it says when it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.clients.postgres.servers import Servers
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked, Failed, Ready
from dev.cluster.postgres import Server
from tests.integration.database.operated import OPERATOR_NAMESPACE, Operated, encoded
from tests.postgres import Site

pytestmark = pytest.mark.integration


class Reaching(Operated):
    """Reaches its server in a way that the test chooses."""

    way: dict[str, Any]

    @property
    def env(self) -> Environment:
        self.wishes = {"server": {"host": "127.0.0.1", "port": self.site.server.port, **self.way}}
        return super().env


@pytest.fixture
def secure(servers: dict[int, Server], clients: Servers) -> Iterator[Reaching]:
    """An environment on the server that speaks TLS, with the authority in a Secret."""
    with Site(servers[15], superuser=False) as site:
        made = Reaching(site, clients, f"{site.name}_db")
        port = site.server.port
        anywhere = [f"127.0.0.1:{port}", f"0.0.0.0:{port}", f"no-such-host.invalid:{port}", "127.0.0.1:1"]
        values = encoded({"username": site.admin, "password": site.password})
        authority = encoded({"ca.crt": site.server.authority.read_text(), "other": "no certificate"})
        wrong = encoded({"ca.crt": (servers[18].directory / "ca.crt").read_text()})
        for name, data in {"admin": values, "ca": authority, "wrong-ca": wrong}.items():
            made.give(name, data, *anywhere)
        made.way = {"adminSecretRef": {"name": "admin"}, "caSecretRef": {"name": "ca"}}
        yield made


@pytest.mark.parametrize("mode", [None, "VerifyFull", "VerifyCA", "Require"])
async def test_the_connection_is_as_safe_as_asked_and_the_api_gets_the_authority(
    secure: Reaching, mode: str | None
) -> None:
    secure.way |= {"sslMode": mode} if mode else {}
    assert isinstance((await secure.run()).outcome, Ready)
    held = secure.secret()
    expected = {None: "verify-full", "VerifyFull": "verify-full", "VerifyCA": "verify-ca", "Require": "require"}
    assert held["sslmode"] == expected[mode]
    assert held["ca.crt"] == secure.site.server.authority.read_text()
    with psycopg.connect(f"{held['uri']}&sslrootcert={secure.site.server.authority}") as connection:
        assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize(
    ("way", "reason", "words"),
    [
        ({"caSecretRef": {"name": "wrong-ca"}}, Reason.DATABASE_CERTIFICATE_REFUSED, "caSecretRef"),
        ({"host": "0.0.0.0"}, Reason.DATABASE_CERTIFICATE_REFUSED, "no secure connection"),
        ({"caSecretRef": {"name": "none"}}, Reason.DATABASE_SECRET_INVALID, "Secret biospark-system/none"),
        ({"caSecretRef": {"name": "ca", "key": "none"}}, Reason.DATABASE_SECRET_INVALID, "has no key none"),
        ({"caSecretRef": {"name": "ca", "key": "other"}}, Reason.DATABASE_SECRET_INVALID, "has no certificate"),
        (
            {"adminSecretRef": {"name": "none"}},
            Reason.DATABASE_SECRET_INVALID,
            "does not exist; create it, or correct spec.database.server.adminSecretRef",
        ),
        ({"port": 1}, Reason.SERVER_UNAVAILABLE, "no answer"),
        ({"host": "no-such-host.invalid"}, Reason.SERVER_UNAVAILABLE, "its name can't be resolved"),
    ],
)
async def test_a_way_that_leads_nowhere_is_named(
    secure: Reaching, way: dict[str, Any], reason: Reason, words: str
) -> None:
    secure.way |= way
    outcome = (await secure.run()).outcome
    assert isinstance(outcome, Blocked | Failed)
    assert (outcome.reason, words in outcome.message) == (reason, True), outcome.message
    assert outcome.message == (await secure.run()).outcome.message, "the message changes from pass to pass"


@pytest.mark.parametrize(
    ("values", "words"),
    [({"username": "x"}, "has no key password"), ({"password": "x"}, "has no key username"), ({}, "and no key")],
)
async def test_an_incomplete_secret_is_named_by_what_it_lacks(
    one: Operated, values: dict[str, str], words: str
) -> None:
    one.give("admin", encoded(values))
    outcome = (await one.run()).outcome
    assert isinstance(outcome, Blocked)
    assert words in outcome.message


async def test_a_wrong_password_is_told_without_it_and_a_corrected_one_heals(one: Operated) -> None:
    right = one.cluster.objects[ObjectRef("v1", "Secret", OPERATOR_NAMESPACE, "admin")]
    wrong = encoded({"username": one.site.admin, "password": "planted-secret"})
    one.give("admin", wrong)
    report = await one.run()
    assert isinstance(report.outcome, Failed)
    assert report.outcome.reason == Reason.DATABASE_LOGIN_REFUSED
    assert "planted-secret" not in f"{report}"
    one.cluster.objects[ObjectRef("v1", "Secret", OPERATOR_NAMESPACE, "admin")] = right
    assert isinstance((await one.run()).outcome, Ready)


@pytest.mark.parametrize("right", ["CREATEDB", "CREATEROLE"])
async def test_a_missing_right_is_named_and_a_granted_one_heals(one: Operated, right: str) -> None:
    one.site.sql(f'ALTER ROLE "{one.site.admin}" NO{right}')
    report = await one.run()
    assert isinstance(report.outcome, Failed)
    assert report.outcome.reason == Reason.ACCESS_DENIED
    assert "permission denied to create" in report.outcome.message
    one.site.sql(f'ALTER ROLE "{one.site.admin}" {right}')
    assert isinstance((await one.run()).outcome, Ready)


async def test_secrets_of_other_namespaces_are_not_read(one: Operated) -> None:
    ref = ObjectRef("v1", "Secret", OPERATOR_NAMESPACE, "admin")
    elsewhere = one.cluster.objects.pop(ref)
    one.hold("v1", "Secret", one.env.spec.namespace.name, "admin", data=elsewhere["data"])
    assert "does not exist" in (await one.run()).outcome.message
