"""Secrets as a store of credentials on a real API server: what two writers and a stranger meet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from biospark_operator.components.secrets.store import Credential, KubernetesSecrets
from biospark_operator.engine.component import Environment
from biospark_operator.engine.errors import UnavailableError
from tests.fakes.environments import environment
from tests.integration.conftest import Operated

pytestmark = pytest.mark.integration

NAME = "biospark-something"
FIRST = Credential({"password": b"first"}, {"rotated-at": "2026-01-01T00:00:00Z"})
SECOND = Credential({"password": b"second"}, {"rotated-at": "2026-02-01T00:00:00Z"})


@pytest.fixture
async def owner(env: Operated) -> Environment:
    """The environment, with its namespace."""
    env.apply()
    await env.settle()
    made = environment(namespace={"name": env.namespace})
    return replace(made, identity=replace(made.identity, name=env.name, uid=(await env.body())["metadata"]["uid"]))


@pytest.fixture
def store(env: Operated) -> KubernetesSecrets:
    return KubernetesSecrets(env.client, "database")


async def test_only_the_first_of_two_that_saw_an_empty_place_fills_it(
    store: KubernetesSecrets, owner: Environment
) -> None:
    seen = await store.read(owner, NAME)
    await store.write(owner, seen, FIRST)
    with pytest.raises(UnavailableError):
        await store.write(owner, seen, SECOND)
    assert (await store.read(owner, NAME)).held == FIRST


async def test_only_the_first_of_two_that_saw_the_same_replaces_it(
    store: KubernetesSecrets, owner: Environment
) -> None:
    await store.write(owner, await store.read(owner, NAME), FIRST)
    seen = await store.read(owner, NAME)
    await store.write(owner, seen, SECOND)
    with pytest.raises(UnavailableError):
        await store.write(owner, seen, FIRST)
    assert (await store.read(owner, NAME)).held == SECOND


async def test_what_was_deleted_or_made_by_somebody_else_meanwhile_is_not_written_to(
    store: KubernetesSecrets, owner: Environment, env: Operated
) -> None:
    await store.write(owner, await store.read(owner, NAME), FIRST)
    seen = await store.read(owner, NAME)
    env.kubectl("delete", "secret", "-n", env.namespace, NAME)
    with pytest.raises(UnavailableError):
        await store.write(owner, seen, SECOND)
    assert (await store.read(owner, NAME)).held is None
    env.kubectl("create", "secret", "generic", "-n", env.namespace, NAME, "--from-literal=password=theirs")
    with pytest.raises(UnavailableError):
        await store.write(owner, seen, SECOND)
    theirs = await store.read(owner, NAME)
    assert theirs.refused is not None
    assert theirs.held is not None
    assert theirs.held.text("password") == "theirs"
    await store.remove(replace(owner.identity, deleting=True), theirs.id)
    assert (await store.read(owner, NAME)).held == theirs.held


async def test_what_was_written_differs_in_nothing_until_somebody_edits_it(
    store: KubernetesSecrets, owner: Environment, env: Operated
) -> None:
    await store.write(owner, await store.read(owner, NAME), FIRST)
    assert not (await store.read(owner, NAME)).differs(FIRST)
    edit = '{"stringData":{"password":"edited"}}'
    env.kubectl("patch", "secret", "-n", env.namespace, NAME, "--type=merge", "-p", edit)
    edited = await store.read(owner, NAME)
    assert edited.differs(FIRST)
    await store.write(owner, edited, FIRST)
    assert (await store.read(owner, NAME)).held == FIRST
