"""An administrator's password goes only where its Secret, or the platform, says; whatever an environment names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.database import DatabaseServer
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.clients.postgres.servers import Servers
from biospark_operator.components import catalog
from biospark_operator.components.database.access import WEAKEST
from biospark_operator.components.outside import SERVERS
from biospark_operator.engine.component import Environment
from biospark_operator.engine.convergence import converge
from biospark_operator.engine.errors import RejectedError
from biospark_operator.engine.outcome import Blocked, Failed, Ready
from biospark_operator.objects import secret_data
from biospark_operator.runtime.leader import SoleReplica
from tests.fakes.environments import environment
from tests.integration.database.operated import OPERATOR_NAMESPACE, Operated, encoded
from tests.postgres import Site

pytestmark = pytest.mark.integration

PASSWORD = "planted-secret"
#: What a server answers to a client's first message to ask for the password as it is, and for an MD5 sum of it.
CLEAR, MD5 = b"R\0\0\0\x08\0\0\0\x03", b"R\0\0\0\x0c\0\0\0\x05salt"


@dataclass
class Listener:
    """A server of somebody else: keeps what is sent to it, and asks for the password in its own way."""

    question: bytes = CLEAR
    port: int = 0
    connections: int = 0
    heard: bytearray = field(default_factory=bytearray)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the first message, ask, and keep all that follows."""
        self.connections += 1
        await reader.read(4096)
        writer.write(self.question)
        self.heard += await reader.read(-1)
        writer.close()
        self.over.set()


@asynccontextmanager
async def listening(question: bytes = CLEAR) -> AsyncIterator[Listener]:
    """Run such a server."""
    listener = Listener(question)
    async with await asyncio.start_server(listener.talk, "127.0.0.1", 0) as server:
        listener.port = server.sockets[0].getsockname()[1]
        yield listener


class Elsewhere(Operated):
    """An environment that names the server that the test chooses."""

    way: dict[str, Any]

    @property
    def env(self) -> Environment:
        server = {"host": "127.0.0.1", "port": self.site.server.port, "sslMode": "Disable", **self.way}
        self.wishes = {"server": {"adminSecretRef": {"name": "admin"}, **server}}
        return super().env


@pytest.fixture
def elsewhere(one_site: Site, clients: Servers) -> Elsewhere:
    """An environment of an editor on the platform's own server, to begin with."""
    made = Elsewhere(one_site, clients, f"{one_site.name}_db")
    made.way = {}
    return made


@pytest.mark.parametrize("apply", [True, False], ids=["Apply", "Plan"])
async def test_a_server_that_the_secret_does_not_name_is_never_connected_to(elsewhere: Elsewhere, apply: bool) -> None:
    async with listening() as theirs:
        elsewhere.way = {"port": theirs.port}
        report = await elsewhere.run(apply=apply)
        assert report.outcome == Blocked(
            Reason.SECRET_USE_REFUSED,
            "Secret biospark-system/admin (spec.database.server.adminSecretRef) may not be used for the server "
            f"127.0.0.1:{theirs.port}; an administrator of the namespace biospark-system has to add "
            f"127.0.0.1:{theirs.port} to its annotation biospark.ai/servers",
        )
        schema = await elsewhere.run_schema(apply=apply)
        assert isinstance(schema.outcome, Blocked)
        with pytest.raises(RejectedError, match="may not be used for the server"):
            await elsewhere.remove()
        assert theirs.connections == 0


@pytest.mark.parametrize("question", [CLEAR, MD5], ids=["password", "md5"])
async def test_a_server_that_asks_for_more_than_scram_gets_nothing(elsewhere: Elsewhere, question: bytes) -> None:
    async with listening(question) as theirs:
        elsewhere.give("admin", encoded({"username": "biospark", "password": PASSWORD}), f"127.0.0.1:{theirs.port}")
        elsewhere.way = {"port": theirs.port}
        report = await elsewhere.run()
        assert isinstance(report.outcome, Failed)
        assert report.outcome.reason == Reason.DATABASE_LOGIN_REFUSED
        assert "SCRAM" in report.outcome.message
        async with asyncio.timeout(10):
            await theirs.over.wait()
        assert not theirs.heard


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1.", "localhost", "LOCALHOST", "2130706433", "127.1", "0127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"],
)
async def test_other_names_of_the_same_server_are_other_servers(elsewhere: Elsewhere, host: str) -> None:
    elsewhere.way = {"host": host}
    outcome = (await elsewhere.run()).outcome
    assert isinstance(outcome, Blocked)
    assert outcome.reason == Reason.SECRET_USE_REFUSED


@pytest.mark.parametrize(
    "host", ["127.0.0.1,10.0.0.1", "/var/run/postgresql", "@abstract", "db port=1", "db'x", "", "db\n"]
)
def test_a_host_is_one_name_or_one_address(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        environment(database={"server": {"host": host, "adminSecretRef": {"name": "admin"}}})


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ("127.0.0.1:{port}", True),
        ("db.example.com:5432 ,127.0.0.1:{port},", True),
        ("127.0.0.1", False),
        ("127.0.0.1:5432", False),
        ("*", False),
        ("127.0.0.0/8:{port}", False),
        ("127.0.0.1:{port} db.example.com:5432", False),
        ("", False),
    ],
)
async def test_a_secret_lists_servers_by_host_and_port(elsewhere: Elsewhere, said: str, allowed: bool) -> None:
    elsewhere.annotate("admin", SERVERS, said.format(port=elsewhere.site.server.port))
    outcome = (await elsewhere.run()).outcome
    assert isinstance(outcome, Ready) == allowed, outcome


async def test_the_same_address_and_the_same_name_may_be_written_differently(elsewhere: Elsewhere) -> None:
    access = elsewhere.component.access
    elsewhere.annotate("admin", SERVERS, "[0:0:0:0:0:0:0:1]:5432, DB.Example.com:5432")
    for host in ("::1", "0::1", "db.example.com", "DB.EXAMPLE.COM"):
        elsewhere.way = {"host": host, "port": 5432}
        server = elsewhere.env.spec.database.server
        assert server is not None
        assert (await access.to(server)).address.host == host


async def test_what_is_taken_back_counts_at_once_also_for_what_is_there(elsewhere: Elsewhere) -> None:
    await elsewhere.settled()
    elsewhere.annotate("admin", SERVERS, None)
    outcome = (await elsewhere.run()).outcome
    assert isinstance(outcome, Blocked)
    assert outcome.reason == Reason.SECRET_USE_REFUSED
    with pytest.raises(RejectedError, match="may not be used"):
        await elsewhere.remove()
    where = f"127.0.0.1:{elsewhere.site.server.port}"
    elsewhere.annotate("admin", SERVERS, where)
    assert (await elsewhere.remove()).waiting == {}


@pytest.mark.parametrize(
    ("weakest", "mode", "allowed"),
    [
        ("Require", "Disable", False),
        ("VerifyFull", "Require", False),
        ("VerifyFull", "VerifyCA", False),
        ("VerifyCA", "VerifyFull", True),
        ("Disable", "Require", True),
        ("verify-full", "VerifyFull", False),
    ],
)
async def test_a_secret_demands_how_safe_the_connection_is(
    elsewhere: Elsewhere, weakest: str, mode: str, allowed: bool
) -> None:
    elsewhere.give("ca", encoded({"ca.crt": elsewhere.site.server.authority.read_text()}))
    elsewhere.annotate("admin", WEAKEST, weakest)
    elsewhere.way = {"sslMode": mode, "caSecretRef": {"name": "ca"}}
    server = elsewhere.env.spec.database.server
    assert server is not None
    if allowed:
        await elsewhere.component.access.to(server)
        return
    with pytest.raises(RejectedError) as refused:
        await elsewhere.component.access.to(server)
    assert "Secret biospark-system/admin" in refused.value.message
    assert "VerifyFull" in refused.value.message or "sslMode: Require" in refused.value.message


async def test_an_authority_counts_only_for_the_servers_that_its_secret_names(elsewhere: Elsewhere) -> None:
    authority = encoded({"ca.crt": elsewhere.site.server.authority.read_text()})
    elsewhere.give("ca", authority, "other.example.com:5432")
    elsewhere.way = {"sslMode": "VerifyFull", "caSecretRef": {"name": "ca"}}
    outcome = (await elsewhere.run()).outcome
    assert isinstance(outcome, Blocked)
    assert "Secret biospark-system/ca (spec.database.server.caSecretRef) may not be used" in outcome.message


async def test_what_the_platform_settings_list_together_needs_no_annotation(
    elsewhere: Elsewhere, one_site: Site
) -> None:
    elsewhere.annotate("admin", SERVERS, None)
    settings = {"host": "127.0.0.1", "port": one_site.server.port, "adminSecretRef": {"name": "admin"}}
    platform = DatabaseServer.model_validate({**settings, "sslMode": "Disable"})
    made = catalog.components(
        elsewhere.cluster, Platform(database=platform), operator_namespace=OPERATOR_NAMESPACE, servers=elsewhere.servers
    )
    components = {component.name: component for component in made}
    report = await converge(components["database"], elsewhere.env, apply=True, leadership=SoleReplica())
    assert isinstance(report.outcome, Ready), report.outcome
    async with listening() as theirs:
        elsewhere.way = {"port": theirs.port}
        for name in ("database", "schema"):
            report = await converge(components[name], elsewhere.env, apply=True, leadership=SoleReplica())
            assert isinstance(report.outcome, Blocked)
            assert report.outcome.reason == Reason.SECRET_USE_REFUSED
        assert theirs.connections == 0
    # The platform's own use of the Secret says how safe it has to be, too.
    elsewhere.way = {}
    strict = replace(elsewhere.component.access, platform=DatabaseServer.model_validate(settings))
    server = elsewhere.env.spec.database.server
    assert server is not None
    with pytest.raises(RejectedError, match=r"write spec\.database\.server\.sslMode: Require"):
        await strict.to(server)


async def test_of_the_secret_with_the_authority_only_certificates_get_out(elsewhere: Elsewhere) -> None:
    text = elsewhere.site.server.authority.read_text()
    key = "-----BEGIN PRIVATE KEY-----\nplanted-key\n-----END PRIVATE KEY-----\n"
    elsewhere.give("ca", encoded({"ca.crt": f"planted-before\n{key}{text}planted-after\n{key}{text}"}))
    elsewhere.way = {"caSecretRef": {"name": "ca"}}
    assert isinstance((await elsewhere.run()).outcome, Ready)
    assert elsewhere.secret()["ca.crt"] == text + text
    for ref, manifest in elsewhere.cluster.objects.items():
        if ref.namespace == elsewhere.env.spec.namespace.name:
            held = b"".join(secret_data.values(manifest).values())
            assert b"planted" not in held


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----\n", "has no certificate in its key ca.crt"),
        ("-----BEGIN CERTIFICATE-----\nplanted\n-----END CERTIFICATE-----\n", "has a broken certificate in its key"),
    ],
)
async def test_what_is_no_certificate_is_refused_and_stays_where_it_is(
    elsewhere: Elsewhere, content: str, says: str
) -> None:
    elsewhere.give("ca", encoded({"ca.crt": content}))
    elsewhere.way = {"caSecretRef": {"name": "ca"}}
    report = await elsewhere.run()
    assert isinstance(report.outcome, Blocked)
    assert says in report.outcome.message
    assert "planted" not in f"{report}"
    assert (
        ObjectRef("v1", "Secret", elsewhere.env.spec.namespace.name, "biospark-database")
        not in elsewhere.cluster.objects
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
async def test_a_line_end_after_user_and_password_is_no_part_of_them(elsewhere: Elsewhere, ending: str) -> None:
    site = elsewhere.site
    elsewhere.give("admin", encoded({"username": site.admin + ending, "password": site.password + ending}))
    assert isinstance((await elsewhere.run()).outcome, Ready)
