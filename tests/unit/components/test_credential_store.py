"""What every store of credentials promises, and handovers over it: of Secrets and of one that has nothing of theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.clients.kubernetes.errors import ConflictError
from biospark_operator.clients.kubernetes.objects import NEVER, Manifest, ObjectRef
from biospark_operator.components.handover import DATABASE_LOGIN, Uptake
from biospark_operator.components.secrets.store import Credential, CredentialStore, KubernetesSecrets
from biospark_operator.components.workload import component as workload
from biospark_operator.engine.component import Environment
from biospark_operator.engine.errors import UnavailableError
from tests.fakes.cluster import FakeCluster
from tests.fakes.credentials import MemoryStore
from tests.fakes.environments import environment
from tests.unit.components import rollouts

ENV = environment(database={"server": {"host": "db.example", "adminSecretRef": {"name": "admin"}}})
NAME = DATABASE_LOGIN.credential
FIRST = Credential({"username": b"a", "password": b"first"}, {"rotated-at": "2026-01-01T00:00:00Z"})
SECOND = Credential({"username": b"b", "password": b"second"}, {"rotated-at": "2026-02-01T00:00:00Z"})


class Versioned(FakeCluster):
    """Refuses what is applied to another version than there is, as an API server does."""

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        ref, wanted = ObjectRef.of(manifest), manifest["metadata"].get("resourceVersion")
        there = self.objects.get(ref)
        version = there["metadata"]["resourceVersion"] if there else None
        if wanted is not None and wanted != (version or NEVER):
            raise ConflictError("somebody was faster")
        stored: Any = await super().apply(manifest, force=force, dry_run=dry_run)
        stored["metadata"]["resourceVersion"] = str(int(version or NEVER) + 1)
        return stored


@pytest.fixture
def store(request: pytest.FixtureRequest) -> CredentialStore:
    return KubernetesSecrets(Versioned(), "database") if request.param == "secrets" else MemoryStore()


EACH = pytest.mark.parametrize("store", ["secrets", "memory"], indirect=True)


async def written(store: CredentialStore, credential: Credential, env: Environment = ENV) -> None:
    await store.write(env, await store.read(env, NAME), credential)


@EACH
async def test_what_is_written_is_read(store: CredentialStore) -> None:
    assert (await store.read(ENV, NAME)).held is None
    await written(store, FIRST)
    seen = await store.read(ENV, NAME)
    assert (seen.held, seen.refused) == (FIRST, None)
    assert seen.id == store.id(ENV, NAME)
    assert store.knows(seen.id)
    for other in ("postgresql://db.example:5432/biospark_dev", "v1 ConfigMap dev/biospark-database"):
        assert not store.knows(other)


@EACH
async def test_only_the_first_of_two_that_saw_the_same_writes(store: CredentialStore) -> None:
    for one, other in ((FIRST, SECOND), (SECOND, FIRST)):
        seen = await store.read(ENV, NAME)
        await store.write(ENV, seen, one)
        with pytest.raises(UnavailableError):
            await store.write(ENV, seen, other)
        assert (await store.read(ENV, NAME)).held == one


@EACH
async def test_what_another_environment_has_is_refused_and_stays(store: CredentialStore) -> None:
    other = replace(ENV, identity=replace(ENV.identity, uid="uid-of-another"))
    await written(store, FIRST, other)
    seen = await store.read(ENV, NAME)
    assert "uid-of-another" in (seen.refused or "")
    await store.remove(replace(ENV.identity, deleting=True), seen.id)
    assert (await store.read(ENV, NAME)).held == FIRST


@EACH
@pytest.mark.parametrize("orphans", [True, False])
async def test_what_is_removed_is_gone_and_what_is_left_behind_is_nobodys(
    store: CredentialStore, orphans: bool
) -> None:
    await written(store, FIRST)
    await store.remove(replace(ENV.identity, deleting=True, orphans=orphans), store.id(ENV, NAME))
    seen = await store.read(ENV, NAME)
    assert (seen.held is not None, seen.refused is not None) == (orphans, orphans)


@EACH
async def test_no_password_is_in_the_text_of_what_was_read(store: CredentialStore) -> None:
    await written(store, FIRST)
    assert "first" not in repr(await store.read(ENV, NAME))


@EACH
async def test_pods_take_what_the_store_has_and_the_giver_learns_when_all_do(store: CredentialStore) -> None:
    cluster = FakeCluster()
    component = workload.component(cluster, Platform(), store)

    async def template() -> Any:
        desired = (await component.observe(ENV)).desired
        return next(made for made in desired.values() if made["kind"] == "Deployment")["spec"]["template"]["metadata"]

    assert "annotations" not in await template()
    assert await DATABASE_LOGIN.uptake(cluster, ENV) == Uptake()
    for credential in (FIRST, SECOND):
        await written(store, credential)
        stamp = credential.notes["rotated-at"]
        assert (await template())["annotations"] == {"biospark.ai/rotated-at": stamp}
        live = DATABASE_LOGIN.stamped(with_template(rollouts.deployment(available=0)), stamp)
        assert not DATABASE_LOGIN.uptake_of(live).is_done(stamp)
        live = DATABASE_LOGIN.stamped(with_template(rollouts.deployment(available=1)), stamp)
        uptake = DATABASE_LOGIN.uptake_of(live)
        assert uptake == Uptake(True, stamp)
        assert uptake.is_done(stamp)
        assert not uptake.is_done("another")


def with_template(deployment: Manifest) -> Manifest:
    return {**deployment, "spec": {**deployment["spec"], "template": {"metadata": {}}}}


def test_a_stamp_leaves_other_annotations_of_the_pods() -> None:
    deployment = {"spec": {"template": {"metadata": {"annotations": {"other": "x"}}}}}
    stamped = DATABASE_LOGIN.stamped(deployment, "now")
    assert stamped["spec"]["template"]["metadata"]["annotations"] == {"other": "x", "biospark.ai/rotated-at": "now"}
