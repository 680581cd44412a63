"""An environment with a database, on a real API server and a real PostgreSQL: from the resource to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components.database.credentials import APP_SECRET, READER_SECRET
from biospark_operator.components.handover import DATABASE_LOGIN
from biospark_operator.components.outside import SERVERS
from biospark_operator.objects import secret_data
from tests.integration.conftest import OPERATOR_NAMESPACE, Operated
from tests.postgres import Site

pytestmark = pytest.mark.integration


@pytest.fixture
def admin(env: Operated, one_site: Site) -> Iterator[str]:
    """The Secret with the administrator of the server."""
    name = f"{env.name}-admin"
    literals = (f"--from-literal=username={one_site.admin}", f"--from-literal=password={one_site.password}")
    env.kubectl("create", "secret", "generic", name, "-n", OPERATOR_NAMESPACE, *literals)
    where = f"{one_site.server.address}:{one_site.server.port}"
    env.kubectl("annotate", "secret", name, "-n", OPERATOR_NAMESPACE, f"{SERVERS}={where}")
    yield name
    env.kubectl("delete", "secret", name, "-n", OPERATOR_NAMESPACE, "--ignore-not-found")


def database(site: Site, admin: str, **wishes: Any) -> dict[str, Any]:
    server = {
        "host": site.server.address,
        "port": site.server.port,
        "sslMode": "Disable",
        "adminSecretRef": {"name": admin},
    }
    return {"server": server, "name": f"{site.name}_db", **wishes}


async def ready(env: Operated) -> None:
    """Make passes until the database is ready, which has to be soon."""
    for _ in range(4):
        await env.run()
        if await env.told("DatabaseReady") == ("True", "Succeeded"):
            return
    raise AssertionError(await env.message("DatabaseReady"))


async def secret(env: Operated, name: str = APP_SECRET) -> Mapping[str, str]:
    found = await env.get("v1", "Secret", name)
    assert found is not None
    return secret_data.texts(found)


async def deployment(env: Operated) -> Manifest:
    found = await env.get("apps/v1", "Deployment", "biospark-api")
    assert found is not None
    return found


def log_in(site: Site, held: dict[str, str]) -> None:
    assert site.sql("SELECT 1", database=held["database"], user=held["username"], password=held["password"]) == [(1,)]


async def test_an_environment_gets_its_database_and_its_pods_the_credentials(
    env: Operated, one_site: Site, admin: str
) -> None:
    env.apply(database=database(one_site, admin, connectionLimit=20, extensions=[{"name": "pg_trgm"}]))
    await ready(env)
    held = await secret(env)
    log_in(one_site, held)
    log_in(one_site, await secret(env, READER_SECRET))
    told = (await env.status())["database"]
    assert (told["name"], told["activeUser"]) == (f"{one_site.name}_db", held["username"])
    assert told["serverVersion"].startswith("18.")
    template = (await deployment(env))["spec"]["template"]
    assert template["metadata"]["annotations"][DATABASE_LOGIN.annotation] == told["rotatedAt"]
    mounted = {"name": "database", "secret": {"secretName": APP_SECRET, "defaultMode": 0o440}}
    assert mounted in template["spec"]["volumes"]
    inventory = [entry["id"] for entry in (await env.status())["inventory"] if entry["component"] == "database"]
    assert len(inventory) == 9


async def test_looking_again_writes_nothing(env: Operated, one_site: Site, admin: str) -> None:
    env.apply(database=database(one_site, admin))
    await ready(env)
    await env.run()
    body = await env.body()
    # The log of the server is what shows whether anything was written there.
    before = len(one_site.server.log.read_text())
    secrets = [await env.get("v1", "Secret", name) for name in (APP_SECRET, READER_SECRET)]
    await env.run()
    assert (await env.body())["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]
    assert [await env.get("v1", "Secret", name) for name in (APP_SECRET, READER_SECRET)] == secrets
    said = [line for line in one_site.server.log.read_text()[before:].splitlines() if one_site.admin in line]
    assert said
    assert not [line for line in said if any(word in line for word in ("CREATE ", "ALTER ", "GRANT ", "COMMENT "))]


async def test_credentials_are_in_no_status_and_no_event(env: Operated, one_site: Site, admin: str) -> None:
    env.apply(mode="Plan", database=database(one_site, admin))
    await env.run()
    assert "CREATE DATABASE" in json.dumps((await env.status())["plan"])
    env.apply(database=database(one_site, admin))
    await ready(env)
    passwords = [(await secret(env, name))["password"] for name in (APP_SECRET, READER_SECRET)]
    events = env.kubectl("get", "events", "-A", "-o", "json")
    shown = json.dumps(await env.body()) + events
    assert not [password for password in (*passwords, one_site.password) if password in shown]
    assert "SCRAM-SHA-256" not in shown


async def test_a_rotation_on_request_replaces_the_pods_and_is_no_drift(
    env: Operated, one_site: Site, admin: str
) -> None:
    env.apply(database=database(one_site, admin))
    await ready(env)
    before, template = await secret(env), (await deployment(env))["spec"]["template"]
    env.kubectl("annotate", "bse", env.name, "biospark.ai/rotate-requested-at=1")
    await ready(env)
    after = await secret(env)
    assert after["username"] != before["username"]
    log_in(one_site, before)
    log_in(one_site, after)
    assert (await deployment(env))["spec"]["template"] != template
    status = await env.status()
    assert status.get("drift", []) == []
    assert status["database"]["activeUser"] == after["username"]


async def test_a_repair_is_told_as_drift(env: Operated, one_site: Site, admin: str) -> None:
    env.apply(database=database(one_site, admin))
    await ready(env)
    one_site.sql(f'ALTER DATABASE "{one_site.name}_db" CONNECTION LIMIT 3')
    await env.run()
    (entry,) = (await env.status())["drift"]
    assert entry["summary"] == f'ALTER DATABASE "{one_site.name}_db" CONNECTION LIMIT -1'


async def test_a_database_that_is_gone_stalls_the_environment_and_tears_nothing(
    env: Operated, one_site: Site, admin: str
) -> None:
    env.apply(deletionPolicy="Delete", database=database(one_site, admin))
    await ready(env)
    await env.run()
    held, pods = await secret(env), (await deployment(env))["spec"]
    env.kubectl("annotate", "bse", env.name, "biospark.ai/rotate-requested-at=1")
    one_site.sql(f'DROP DATABASE "{one_site.name}_db" WITH (FORCE)')
    await env.run()
    await env.run()
    assert await env.told("Stalled") == ("True", "DatabaseMissing")
    assert (await secret(env), (await deployment(env))["spec"]) == (held, pods)
    assert (await env.status()).get("drift", []) == []
    said = (await env.message("DatabaseReady")).partition("biospark.ai/allow-empty-database: ")[2]
    env.kubectl("annotate", "bse", env.name, f"biospark.ai/allow-empty-database={said.partition(' ')[0]}")
    await ready(env)
    log_in(one_site, await secret(env))
    one_site.sql(f'DROP DATABASE "{one_site.name}_db" WITH (FORCE)')
    await env.run()
    assert await env.told("Stalled") == ("True", "DatabaseMissing")
    await env.torn_down()


async def test_deletion_drops_the_database_where_it_may(env: Operated, one_site: Site, admin: str) -> None:
    env.apply(deletionPolicy="Delete", database=database(one_site, admin))
    await ready(env)
    await env.torn_down()
    assert one_site.sql("SELECT 1 FROM pg_database WHERE datname = %s", f"{one_site.name}_db") == []


async def test_retention_keeps_the_database_and_says_so(env: Operated, one_site: Site, admin: str) -> None:
    env.apply(database=database(one_site, admin))
    await ready(env)
    await env.torn_down()
    assert one_site.sql("SELECT 1 FROM pg_database WHERE datname = %s", f"{one_site.name}_db") == [(1,)]
    events = json.loads(env.kubectl("get", "events", "-n", "default", "-o", "json"))["items"]
    notes = [
        event["message"]
        for event in events
        if event["reason"] == "Released" and event["involvedObject"]["name"] == env.name
    ]
    assert len(notes) == 1
    assert f"/{one_site.name}_db" in notes[0]


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
@pytest.mark.parametrize("fault", ["host", "secret", "authority"])
async def test_an_environment_whose_server_was_never_reached_can_be_deleted(
    env: Operated, one_site: Site, admin: str, policy: str, fault: str
) -> None:
    wrong = {
        "host": {"host": "127.0.0.1", "port": 1},
        "secret": {"adminSecretRef": {"name": "there-is-none"}},
        "authority": {"sslMode": "VerifyCA", "caSecretRef": {"name": admin, "key": "username"}},
    }
    wishes = database(one_site, admin)
    env.apply(deletionPolicy=policy, database={**wishes, "server": {**wishes["server"], **wrong[fault]}})
    await env.run()
    assert (await env.told("DatabaseReady") or ("", ""))[0] == "False"
    assert not [entry for entry in (await env.status())["inventory"] if entry["component"] == "database"]
    await env.torn_down()


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_a_server_that_is_gone_for_good_is_abandoned_as_the_message_says(
    env: Operated, one_site: Site, admin: str, policy: str
) -> None:
    env.apply(deletionPolicy=policy, database=database(one_site, admin))
    await ready(env)
    env.kubectl("delete", "secret", admin, "-n", OPERATOR_NAMESPACE)
    # Its turn comes when what needs it is gone.
    with pytest.raises(TimeoutError, match=r"biospark\.ai/abandon-servers: ") as waits:
        await env.torn_down(seconds=20)
    said = str(waits.value).partition("biospark.ai/abandon-servers: ")[2].partition(" ")[0]
    assert said == f"{one_site.server.address}:{one_site.server.port}"
    env.kubectl("annotate", "bse", env.name, f"biospark.ai/abandon-servers={said}")
    await env.torn_down()
    assert one_site.sql("SELECT 1 FROM pg_database WHERE datname = %s", f"{one_site.name}_db") == [(1,)]


async def test_a_platform_server_gives_every_environment_a_database_and_no_server_none(env: Operated) -> None:
    env.apply()
    await env.run()
    assert await env.told("DatabaseReady") is None
    env.apply(database={"connectionLimit": 5})
    await env.run()
    assert await env.told("Stalled") == ("True", "PlatformSettingMissing")


async def test_a_missing_secret_is_the_users_to_create(env: Operated, one_site: Site) -> None:
    env.apply(database=database(one_site, "there-is-none"))
    await env.run()
    assert await env.told("DatabaseReady") == ("False", "DatabaseSecretInvalid")
    assert f"Secret {OPERATOR_NAMESPACE}/there-is-none (spec.database.server.adminSecretRef)" in await env.message(
        "DatabaseReady"
    )
    assert await env.told("Stalled") == ("True", "DatabaseSecretInvalid")
