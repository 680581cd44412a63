"""What a user of the API sees: one logs in, works, and notices nothing of what happens to pods and secrets.

All of it by pods from the chart, with the rights of the chart alone, through the Service.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from biospark_operator.components.outside import SERVERS
from dev import deploy
from dev.cluster.postgres import SUPERUSER, WITH_TLS, Server
from tests.e2e.conftest import Deployed, Installation, fetch
from tests.e2e.served import EMAIL, PATIENTS, Load, Served, database_server, patient
from tests.key_exchange import KeyExchange

pytestmark = pytest.mark.e2e

ME = "/api/v1/auth/me"


@pytest.fixture(scope="module")
def server(installation: Installation) -> Iterator[Server]:
    """A PostgreSQL server that pods reach."""
    with database_server(installation.cluster.host_address) as running:
        deploy.hand_over(installation.tools, running)
        yield running


@pytest.fixture(scope="module")
def served(installation: Installation, server: Server) -> Iterator[Served]:
    """An environment of two replicas with a database; the tests of this module share it."""
    made = Served(Deployed(installation), server)
    made.up()
    yield made
    # Its database goes with it, so the server has to be there still.
    made.env.delete()


def test_one_logs_in_creates_a_patient_and_finds_it(served: Served) -> None:
    with served.client() as client:
        assert client.get(PATIENTS).status_code == 401
        wrong = client.post("/api/v1/auth/login", json={"email": EMAIL, "password": "not-that-Lantern"})
        assert wrong.status_code == 401
    with served.client(served.token) as client:
        me = client.get(ME).json()
        assert (me["email"], me["role"]) == (EMAIL, "admin")
        created = client.post(PATIENTS, json=patient())
        assert created.status_code == 201
        assert created.json() in client.get(PATIENTS).json()


def test_pods_that_are_replaced_and_pods_that_go_lose_no_request(served: Served) -> None:
    with Load(served) as load:
        load.more()
        before = set(served.pods())
        served.apply(api={"tokenLifetime": "23h"})
        served.env.until("Ready", "True", seconds=120)
        assert not before & served.pods().keys()
        load.more()
        served.env.kubectl("delete", "pod", next(iter(served.pods())))
        served.env.eventually(lambda: len(served.pods()) == 2, "another pod is there")
        served.env.until("Ready", "True")
        load.more()
    load.check()


def test_a_process_that_is_killed_loses_nothing_of_who_asks_again(served: Served) -> None:
    with Load(served, again=True) as load:
        load.more()
        killed = next(iter(served.pods()))
        served.kill(killed)
        served.env.eventually(lambda: served.restarts(killed) == "1", "the container is started again")
        served.env.until("Ready", "True")
        load.more()
    load.check()


def test_credentials_of_the_database_rotate_without_a_lost_request(served: Served) -> None:
    before = active_user(served)
    with Load(served) as load:
        load.more()
        served.env.tools.kubectl("annotate", "bse", served.env.name, "biospark.ai/rotate-requested-at=1")
        served.env.eventually(lambda: active_user(served) != before, "the other login is active")
        served.env.until("Ready", "True", seconds=120)
        load.more()
    load.check()
    # Pods of before are still on their way out.
    served.env.eventually(lambda: logged_in(served) == {active_user(served)}, "only the new login has sessions", 60)


def logged_in(served: Served) -> set[str]:
    """Return the logins with which the pods are connected to the database."""
    with psycopg.connect(served.server.conninfo(database=served.database)) as connection:
        query = "SELECT usename FROM pg_stat_activity WHERE application_name LIKE 'biospark-api%'"
        return {login for (login,) in connection.execute(query).fetchall()}


def active_user(served: Served) -> str:
    """Return the login that the status names."""
    return served.env.tools.kubectl("get", "bse", served.env.name, "-o", "jsonpath={.status.database.activeUser}")


def test_a_signing_key_that_is_broken_is_replaced_and_ends_no_session(served: Served) -> None:
    before, pods, old = served.secret(), served.pods(), signing(served)
    broken = '{"stringData":{"token-key.pem":"oh no"}}'
    with Load(served) as load:
        served.env.kubectl("patch", "secret", "biospark-api", "--type=merge", "-p", broken)
        served.env.eventually(lambda: "PRIVATE KEY" in served.secret()["token-key.pem"], "the key is made anew")
        served.read_secrets_now()
        served.env.eventually(lambda: not signing(served) & old, "the pods take the new key up")
        load.more()
    load.check()
    after = served.secret()
    assert after["token-key.pem"] != before["token-key.pem"]
    assert after["bootstrap-admin-password"] == before["bootstrap-admin-password"]
    assert before["token-public-keys.pem"] in after["token-public-keys.pem"]
    # The pods are the same: they read it again.
    assert served.pods() == pods
    served.env.until("Ready", "True")
    assert "set data[token-key.pem], data[token-public-keys.pem]" in served.env.dump()
    served.log_in()


def test_a_signing_key_that_is_exchanged_as_documented_ends_no_session(served: Served, tmp_path: Path) -> None:
    pods, old, known = served.pods(), signing(served), len(published(served)[0])
    exchange = KeyExchange(served.env.namespace, str(served.env.tools.kubeconfig), tmp_path)
    with Load(served) as load:
        exchange.announce()
        served.read_secrets_now()
        served.env.eventually(lambda: {len(keys) for keys in published(served)} == {known + 1}, "all pods know it")
        exchange.sign()
        served.read_secrets_now()
        served.env.eventually(lambda: not signing(served) & old, "all pods sign with the new key")
        load.more()
    load.check()
    assert served.secret()["token-key.pem"] == exchange.key
    assert served.pods() == pods
    before = served.token
    served.log_in()
    for token in (before, served.token):
        for address in served.pods().values():
            with served.client(token) as client:
                assert client.get(f"http://{address}:8080{ME}").status_code == 200


def test_the_api_verifies_the_server_of_its_database(installation: Installation, env: Deployed) -> None:
    (major,) = WITH_TLS
    with database_server(installation.cluster.host_address, major) as server:
        beside = ("-n", deploy.NAMESPACE)
        literals = (f"--from-literal=username={SUPERUSER}", f"--from-literal=password={server.password}")
        env.tools.kubectl("create", "secret", "generic", f"admin-{env.name}", *beside, *literals)
        env.tools.kubectl(
            "create", "secret", "generic", f"ca-{env.name}", *beside, f"--from-file=ca.crt={server.authority}"
        )
        for name in (f"admin-{env.name}", f"ca-{env.name}"):
            env.tools.kubectl("annotate", "secret", name, *beside, f"{SERVERS}={server.address}:{server.port}")
        safe = {"sslMode": "VerifyFull", "caSecretRef": {"name": f"ca-{env.name}"}}
        served = Served(env, server, **safe, adminSecretRef={"name": f"admin-{env.name}"})
        try:
            served.up()
            with psycopg.connect(server.conninfo(database=served.database)) as connection:
                query = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename LIKE %s"
                assert connection.execute(query, (f"{served.database}_app_%",)).fetchall() == [(True,)]
        finally:
            env.delete()
            env.tools.kubectl("delete", "secret", f"admin-{env.name}", f"ca-{env.name}", *beside)


def signing(served: Served) -> set[str]:
    """Return the ids of the keys that the pods sign with."""
    return {keys[0] for keys in published(served)}


def published(served: Served) -> list[list[str]]:
    """Return the ids of the keys that each pod publishes, the one that it signs with first."""
    urls = [f"http://{address}:8080/.well-known/jwks.json" for address in served.pods().values()]
    return [[key["kid"] for key in json.loads(fetch(url)[1])["keys"]] for url in urls]
