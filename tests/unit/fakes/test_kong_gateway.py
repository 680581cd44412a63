"""What tests can do with the stand-in for Kong besides asking it: faults, time, certificates, versions, no database."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.chaos.faults import Answer, Close, Hold, Moment
from tests.fakes.kong.echo import echo
from tests.fakes.kong.gateway import Gateway
from tests.fakes.kong.identity import MARK
from tests.fakes.kong.replay import Clock

NOW = 1_800_000_000.0


class Client:
    """Asks a gateway as the operator does: with requests, in a thread."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def admin(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        return await self._ask(method, self.gateway.admin_url + path, json=body, **more)

    async def proxy(self, path: str, **headers: str) -> requests.Response:
        return await self._ask("GET", self.gateway.proxy_url + path, headers=headers)

    @staticmethod
    async def _ask(method: str, url: str, **more: Any) -> requests.Response:
        return await asyncio.to_thread(requests.request, method, url, timeout=20, **more)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def gateway(clock: Clock) -> AsyncIterator[Gateway]:
    async with Gateway(clock=clock) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Client:
    return Client(gateway)


@pytest.fixture
async def upstream() -> AsyncIterator[int]:
    async with echo() as port:
        yield port


def _route(gateway: Gateway, port: int) -> None:
    service = gateway.seed("services", name="api", url=f"http://127.0.0.1:{port}")
    gateway.seed("routes", name="all", paths=["/api"], service={"id": service["id"]})


def _pair(name: str, serial: int) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), serial)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {"cert": certificate.public_bytes(Encoding.PEM).decode(), "key": private.decode()}


async def _served(gateway: Gateway, name: str) -> x509.Certificate:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.ports["secure"], ssl=context, server_hostname=name)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der)


# It says what it is


async def test_every_answer_says_that_it_is_a_test_double(gateway: Gateway, client: Client, upstream: int) -> None:
    _route(gateway, upstream)
    root = await client.admin("GET", "/")
    assert MARK in root.json()["tagline"]
    assert root.json()["hostname"] == "biospark-test-double"
    assert root.headers["Server"] == f"kong/3.4.2 ({MARK})"
    assert MARK in (await client.admin("GET", "/none")).headers["Server"]
    assert MARK in (await client.proxy("/none")).headers["Server"]
    assert MARK in (await client.proxy("/api")).headers["Via"]
    assert MARK in (await asyncio.to_thread(requests.get, f"{gateway.status_url}/status")).headers["Server"]
    assert MARK in (await _served(gateway, "other.test")).subject.rfc4514_string()


async def test_the_program_says_so_when_it_starts() -> None:
    free = [argument for name in ("admin", "proxy", "secure", "status") for argument in (f"--{name}", "0")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.kong", *free, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
    finally:
        process.terminate()
        await process.wait()
    assert line.startswith(f"This is no Kong but a {MARK} that behaves like Kong 3.4.2 for tests.")


# Without a database


async def test_without_a_database_it_says_so_and_refuses_writes(clock: Clock, upstream: int) -> None:
    async with Gateway(database="off", clock=clock) as gateway:
        client = Client(gateway)
        root, status = (await client.admin("GET", "/")).json(), (await client.admin("GET", "/status")).json()
        assert root["configuration"]["database"] == "off"
        assert "database" not in status
        assert status["configuration_hash"] == "0" * 32
        ready = f"{gateway.status_url}/status/ready"
        assert (await asyncio.to_thread(requests.get, ready)).status_code == 503

        _route(gateway, upstream)
        assert (await asyncio.to_thread(requests.get, ready)).status_code == 200
        for method, path, body, action in (
            ("POST", "/services", {"host": "a.test"}, "create 'services' entities"),
            ("PUT", "/services/x", {"host": "a.test"}, "create or update 'services' entities by 'name'"),
            ("PATCH", "/services/api", {"retries": 1}, "update 'services' entities by 'name'"),
            ("DELETE", "/routes/all", None, "remove 'routes' entities by 'name'"),
            ("POST", "/services/api/routes", {"paths": ["/a"]}, "create 'routes' entities"),
            ("POST", "/plugins", {"name": "cors"}, "create 'plugins' entities"),
        ):
            answer = await client.admin(method, path, body)
            assert (answer.status_code, answer.json()["code"]) == (405, 12), path
            assert answer.json()["message"] == f"cannot {action} when not using a database"
        assert (await client.admin("POST", "/services", {"bogus": 1})).json()["code"] == 2
        assert (await client.admin("PUT", "/consumers/a/jwt/k", {})).status_code == 404
        assert (await client.admin("PATCH", "/services/none", {})).json()["code"] == 6
        assert (await client.admin("DELETE", "/services/none")).status_code == 204
        assert (await client.proxy("/api")).status_code == 200


async def test_a_control_plane_says_so() -> None:
    async with Gateway(role="control_plane") as gateway:
        root = (await Client(gateway).admin("GET", "/")).json()
    assert root["configuration"]["role"] == "control_plane"


# What can go wrong


async def test_a_call_can_be_answered_by_a_fault_as_often_as_wanted(gateway: Gateway, client: Client) -> None:
    with gateway.admin.add(lambda call: call.mutating, Answer(503, "planted", retry_after=3), times=1):
        refused = await client.admin("PUT", "/consumers/a", {})
        assert (refused.status_code, refused.json(), refused.headers["Retry-After"]) == (
            503,
            {"message": "planted"},
            "3",
        )
        assert (await client.admin("GET", "/consumers/a")).status_code == 404
        assert (await client.admin("PUT", "/consumers/a", {})).status_code == 200
    assert [call.status for call in gateway.admin.mutating()] == [503, 200]


@pytest.mark.parametrize(("moment", "status"), [(Moment.BEFORE, 404), (Moment.AFTER, 200)])
async def test_a_connection_can_break_before_or_after_a_write(
    gateway: Gateway, client: Client, moment: Moment, status: int
) -> None:
    with gateway.admin.add(lambda call: call.mutating, Close(), moment=moment), pytest.raises(requests.ConnectionError):
        await client.admin("PUT", "/consumers/a", {})
    assert (await client.admin("GET", "/consumers/a")).status_code == status


async def test_a_call_can_be_held(gateway: Gateway, client: Client) -> None:
    with gateway.admin.add(lambda _: True, Hold()) as rule:
        asked = asyncio.create_task(client.admin("GET", "/status"))
        await rule.hit()
        assert not asked.done()
    assert (await asked).status_code == 200


async def test_the_proxy_can_fail_too(gateway: Gateway, client: Client, upstream: int) -> None:
    _route(gateway, upstream)
    with gateway.traffic.add(lambda call: call.path == "/api", Answer(500), times=1):
        assert (await client.proxy("/api")).status_code == 500
    assert (await client.proxy("/api")).status_code == 200


async def test_it_can_lose_its_state(gateway: Gateway, client: Client, upstream: int) -> None:
    _route(gateway, upstream)
    assert (await client.proxy("/api")).status_code == 200
    gateway.lose_state()
    assert (await client.admin("GET", "/services")).json()["data"] == []
    assert (await client.proxy("/api")).status_code == 404


async def test_it_can_be_away_and_comes_back_at_the_same_place_with_what_it_had(
    gateway: Gateway, client: Client
) -> None:
    gateway.seed("consumers", username="a")
    async with gateway.away():
        with pytest.raises(requests.ConnectionError):
            await client.admin("GET", "/consumers/a")
    assert (await client.admin("GET", "/consumers/a")).status_code == 200


async def test_it_can_ask_for_a_token(gateway: Gateway, client: Client) -> None:
    gateway.token = "expected"
    assert (await client.admin("GET", "/services")).status_code == 401
    assert (await client.admin("GET", "/services", headers={"Kong-Admin-Token": "other"})).status_code == 401
    assert (await client.admin("GET", "/services", headers={"Kong-Admin-Token": "expected"})).status_code == 200


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
async def test_its_admin_api_can_be_behind_tls(tmp_path: Path) -> None:
    pair = _pair("admin.test", 1)
    file = tmp_path / "pair.pem"
    file.write_text(pair["cert"] + pair["key"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    async with Gateway(admin_tls=context) as gateway:
        client = Client(gateway)
        with pytest.raises(requests.exceptions.SSLError):
            await client.admin("GET", "/status")
        assert (await client.admin("GET", "/status", verify=False)).status_code == 200


async def test_a_restart_leaves_the_delay_of_the_proxy_as_it_was(gateway: Gateway) -> None:
    gateway.propagation_delay = 5
    gateway.restart_empty()
    assert gateway.propagation_delay == 5


async def test_an_upstream_of_another_protocol_is_a_bad_one(gateway: Gateway, client: Client) -> None:
    service = gateway.seed("services", name="api", protocol="grpc", host="127.0.0.1", port=1)
    gateway.seed("routes", paths=["/api"], service={"id": service["id"]})
    assert (await client.proxy("/api")).status_code == 502


async def test_the_proxy_follows_a_write_after_the_delay_and_not_before(
    gateway: Gateway, client: Client, clock: Clock, upstream: int
) -> None:
    gateway.propagation_delay = 5
    service = {"name": "api", "url": f"http://127.0.0.1:{upstream}"}
    assert (await client.admin("POST", "/services", service)).status_code == 201
    assert (await client.admin("POST", "/services/api/routes", {"paths": ["/api"]})).status_code == 201
    clock.now += 4
    assert (await client.proxy("/api")).status_code == 404
    clock.now += 1
    assert (await client.proxy("/api")).status_code == 200


# What the recordings do not show


async def test_a_renewed_certificate_is_served_from_the_next_connection_on(gateway: Gateway, client: Client) -> None:
    id_ = "00000000-0000-4000-8000-000000000001"
    first = {**_pair("a.test", 1), "snis": ["a.test"]}
    assert (await client.admin("PUT", f"/certificates/{id_}", first)).json()["snis"] == ["a.test"]
    assert (await _served(gateway, "a.test")).serial_number == 1
    renewed = {**_pair("a.test", 2), "snis": ["a.test", "b.test"]}
    assert (await client.admin("PUT", f"/certificates/{id_}", renewed)).json()["snis"] == ["a.test", "b.test"]
    assert (await _served(gateway, "a.test")).serial_number == 2
    assert (await client.admin("PATCH", f"/certificates/{id_}", {"snis": ["b.test"]})).status_code == 200
    assert (await client.admin("GET", "/snis/a.test")).status_code == 404
    assert (await _served(gateway, "b.test")).serial_number == 2


async def test_a_certificate_and_a_key_that_do_not_belong_together_are_refused(client: Client) -> None:
    mixed = {"cert": _pair("a.test", 1)["cert"], "key": _pair("a.test", 2)["key"]}
    answer = await client.admin("POST", "/certificates", mixed)
    assert (answer.status_code, answer.json()["fields"]) == (400, {"@entity": ["certificate does not match key"]})


async def test_requests_over_the_limit_are_refused_until_the_minute_is_over(
    gateway: Gateway, client: Client, clock: Clock, upstream: int
) -> None:
    _route(gateway, upstream)
    gateway.seed("plugins", name="rate-limiting", config={"minute": 20, "policy": "local"})

    def ask_often() -> list[int]:
        with requests.Session() as session:
            return [session.get(f"{gateway.proxy_url}/api").status_code for _ in range(21)]

    assert await asyncio.to_thread(ask_often) == [200] * 20 + [429]
    refused = await client.proxy("/api")
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"] == "60"
    clock.now += 60
    assert (await client.proxy("/api")).headers["X-RateLimit-Remaining-Minute"] == "19"


async def test_plugins_that_it_does_not_have_are_refused_as_not_enabled(client: Client) -> None:
    answer = await client.admin("POST", "/plugins", {"name": "key-auth"})
    assert (answer.status_code, answer.json()["code"]) == (400, 2)
    assert "not enabled" in answer.json()["fields"]["name"]


async def test_newer_versions_have_their_own_fields(clock: Clock, upstream: int) -> None:
    async with Gateway("3.9.1", clock=clock) as gateway:
        client = Client(gateway)
        root = (await client.admin("GET", "/")).json()
        assert (root["version"], root["edition"]) == ("3.9.1", "community")
        limit = {"name": "rate-limiting", "config": {"minute": 5, "policy": "redis", "redis": {"host": "r.test"}}}
        made = (await client.admin("POST", "/plugins", limit)).json()
        assert (made["config"]["redis"]["host"], made["config"]["redis_host"]) == ("r.test", "r.test")
        id_ = made["id"]
        changed = await client.admin("PATCH", f"/plugins/{id_}", {"config": {"redis_host": "s.test"}})
        assert changed.json()["config"]["redis"] == {**made["config"]["redis"], "host": "s.test"}

        _route(gateway, upstream)
        gateway.seed("plugins", name="jwt", config={"realm": "biospark"})
        refused = await client.proxy("/api")
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="biospark"'
