"""The secrets of the API on a real API server: made once, and what people do to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components.outside import SERVERS
from biospark_operator.components.secrets import keys
from biospark_operator.components.secrets.component import ADMIN_PASSWORD, PUBLIC_KEYS, SECRET, TOKEN_KEY
from biospark_operator.objects import secret_data
from tests.integration.conftest import OPERATOR_NAMESPACE, Operated
from tests.key_exchange import KeyExchange
from tests.postgres import Site

pytestmark = pytest.mark.integration

ADMIN = {"bootstrapAdmin": {"email": "admin@example.com"}}


@pytest.fixture
def database(env: Operated, one_site: Site) -> Iterator[dict[str, Any]]:
    """`spec.database` with a server, and the Secret with its administrator."""
    name = f"{env.name}-admin"
    literals = (f"--from-literal=username={one_site.admin}", f"--from-literal=password={one_site.password}")
    env.kubectl("create", "secret", "generic", name, "-n", OPERATOR_NAMESPACE, *literals)
    where = f"{one_site.server.address}:{one_site.server.port}"
    env.kubectl("annotate", "secret", name, "-n", OPERATOR_NAMESPACE, f"{SERVERS}={where}")
    server = {
        "host": one_site.server.address,
        "port": one_site.server.port,
        "sslMode": "Disable",
        "adminSecretRef": {"name": name},
    }
    yield {"server": server, "name": f"{one_site.name}_db"}
    env.kubectl("delete", "secret", name, "-n", OPERATOR_NAMESPACE)


async def settled(env: Operated) -> None:
    """Make passes until the secrets are ready and nothing is told of the database any more."""
    for _ in range(4):
        await env.run()
        if await env.told("SecretsReady") == await env.told("DatabaseReady") == ("True", "Succeeded"):
            return
    raise AssertionError(await env.status())


async def secret(env: Operated) -> Manifest:
    found = await env.get("v1", "Secret", SECRET)
    assert found is not None
    return found


async def values(env: Operated) -> Mapping[str, str]:
    return secret_data.texts(await secret(env))


async def drift(env: Operated) -> list[str]:
    return [entry["summary"] for entry in (await env.status()).get("drift", [])]


async def test_they_are_made_once_and_survive_a_restart_and_a_lost_status(
    env: Operated, operate: Callable[[], Operated], database: dict[str, Any]
) -> None:
    env.apply(database=database, api=ADMIN)
    await settled(env)
    made, before = await values(env), await secret(env)
    assert set(made) == {TOKEN_KEY, PUBLIC_KEYS, ADMIN_PASSWORD}
    assert keys.public_half(made[TOKEN_KEY]) == made[PUBLIC_KEYS]
    await env.run()
    env.kubectl(
        "patch", "bse", env.name, "--subresource=status", "--type=json", "-p", '[{"op":"remove","path":"/status"}]'
    )
    restarted = operate()
    restarted.name, restarted.namespace = env.name, env.namespace
    await settled(restarted)
    assert await secret(env) == before
    deployment = await env.get("apps/v1", "Deployment", "biospark-api")
    assert deployment is not None


async def test_without_an_administrator_there_is_no_password(env: Operated, database: dict[str, Any]) -> None:
    env.apply(database=database, api=ADMIN)
    await settled(env)
    made = await values(env)
    env.apply(database=database)
    await settled(env)
    assert await values(env) == {key: made[key] for key in (TOKEN_KEY, PUBLIC_KEYS)}
    assert await drift(env) == []


async def test_without_a_database_there_are_none(env: Operated) -> None:
    env.apply()
    await env.run()
    assert await env.told("WorkloadReady") is not None
    assert await env.told("SecretsReady") is None
    assert await env.get("v1", "Secret", SECRET) is None


async def test_a_broken_key_is_made_anew_told_as_drift_and_its_public_half_stays(
    env: Operated, database: dict[str, Any]
) -> None:
    env.apply(database=database, api=ADMIN)
    await settled(env)
    before = await values(env)
    env.kubectl(
        "patch", "secret", SECRET, "-n", env.namespace, "--type=merge", "-p", '{"stringData":{"token-key.pem":"oh no"}}'
    )
    await settled(env)
    after = await values(env)
    assert after[TOKEN_KEY] != before[TOKEN_KEY]
    assert after[PUBLIC_KEYS] == keys.public_half(after[TOKEN_KEY]) + before[PUBLIC_KEYS]
    assert after[ADMIN_PASSWORD] == before[ADMIN_PASSWORD]
    assert await drift(env) == ["set data[token-key.pem], data[token-public-keys.pem]"]


@pytest.mark.parametrize(
    ("key", "path"), [(PUBLIC_KEYS, f"data[{PUBLIC_KEYS}]"), (ADMIN_PASSWORD, f"data.{ADMIN_PASSWORD}")]
)
async def test_a_value_that_was_removed_comes_back_alone(
    env: Operated, database: dict[str, Any], key: str, path: str
) -> None:
    env.apply(database=database, api=ADMIN)
    await settled(env)
    before = await values(env)
    env.kubectl("patch", "secret", SECRET, "-n", env.namespace, "--type=merge", "-p", json.dumps({"data": {key: None}}))
    await settled(env)
    after = await values(env)
    assert {name for name in after if after[name] != before[name]} <= {ADMIN_PASSWORD} & {key}
    assert set(after) == set(before)
    assert await drift(env) == [f"set {path}"]


async def test_a_deleted_secret_comes_back_with_other_values(env: Operated, database: dict[str, Any]) -> None:
    env.apply(database=database, api=ADMIN)
    await settled(env)
    before = await values(env)
    env.kubectl("delete", "secret", SECRET, "-n", env.namespace)
    await settled(env)
    after = await values(env)
    assert not set(before.values()) & set(after.values())
    assert await drift(env) == [f"create Secret {env.namespace}/{SECRET}"]


async def test_a_key_that_is_exchanged_as_documented_is_kept_and_no_drift(
    env: Operated, database: dict[str, Any], kubeconfig: str, tmp_path: Path
) -> None:
    env.apply(database=database)
    await settled(env)
    before, exchange = await values(env), KeyExchange(env.namespace, kubeconfig, tmp_path)
    exchange.announce()
    await settled(env)
    between = await values(env)
    assert between[TOKEN_KEY] == before[TOKEN_KEY]
    assert before[PUBLIC_KEYS] in between[PUBLIC_KEYS]
    exchange.sign()
    await settled(env)
    assert await values(env) == {**between, TOKEN_KEY: exchange.key}
    assert keys.public_half(exchange.key) in between[PUBLIC_KEYS]
    assert await drift(env) == []


async def test_a_foreign_secret_is_refused_left_alone_and_the_way_out_works(
    env: Operated, database: dict[str, Any]
) -> None:
    env.apply(database=database)
    await env.run()
    env.kubectl("delete", "secret", SECRET, "-n", env.namespace)
    env.kubectl("create", "secret", "generic", SECRET, "-n", env.namespace, "--from-literal=token-key.pem=theirs")
    await env.run()
    assert await env.told("SecretsReady") == ("False", "NotOwned")
    assert await env.told("WorkloadReady") == ("Unknown", "DependencyNotReady")
    assert await values(env) == {TOKEN_KEY: "theirs"}
    env.kubectl("delete", "secret", SECRET, "-n", env.namespace)
    await settled(env)


async def test_a_key_of_ones_own_is_adopted_and_given_back(env: Operated, database: dict[str, Any]) -> None:
    own = {TOKEN_KEY: keys.new_signing_key()}
    env.foreign_namespace()
    literals = [f"--from-literal={key}={text}" for key, text in own.items()]
    env.kubectl("create", "secret", "generic", SECRET, "-n", env.namespace, *literals)
    env.apply(adoptionPolicy="IfUnowned", database=database)
    await settled(env)
    adopted = await values(env)
    assert adopted == {**own, PUBLIC_KEYS: keys.public_half(own[TOKEN_KEY])}
    await env.torn_down()
    assert await values(env) == own
    assert "labels" not in (await secret(env))["metadata"]


async def test_what_was_made_goes_from_a_namespace_that_stays(env: Operated, database: dict[str, Any]) -> None:
    env.foreign_namespace()
    env.apply(adoptionPolicy="IfUnowned", database=database)
    await settled(env)
    await env.torn_down()
    assert env.kubectl("get", "secrets", "-n", env.namespace, "-o", "name") == ""


async def test_a_plan_makes_nothing_and_shows_nothing(env: Operated, database: dict[str, Any]) -> None:
    env.apply(mode="Plan", database=database, api=ADMIN)
    await env.run()
    plan = (await env.status())["plan"]["actions"]
    assert [action["summary"] for action in plan if action["component"] == "secrets"] == [
        f"create Secret {env.namespace}/{SECRET}"
    ]


async def test_too_few_connections_for_the_replicas_are_told_before_they_are_the_limit(
    env: Operated, database: dict[str, Any], one_site: Site
) -> None:
    limit = "SELECT datconnlimit FROM pg_database WHERE datname = %s"
    env.apply(database=database, api={"replicas": 2})
    await settled(env)
    env.apply(database={**database, "connectionLimit": 4}, api={"replicas": 2})
    await env.run()
    assert await env.told("DatabaseReady") == ("False", "InvalidSpec")
    assert "write at least 6, or lower the number of replicas" in await env.message("DatabaseReady")
    assert one_site.scalar(limit, database["name"]) == -1
    env.apply(database={**database, "connectionLimit": 6}, api={"replicas": 2})
    await settled(env)
    assert one_site.scalar(limit, database["name"]) == 6
    assert await env.told("WorkloadReady") != ("False", "InvalidSpec")
