"""What an operator that was down sees of a deletion with orphan propagation."""

from __future__ import annotations

from typing import Any

import pytest

from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.engine.errors import RejectedError
from biospark_operator.runtime.orphaning import OrphaningTrace
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import body

TRACE = ObjectRef("rbac.authorization.k8s.io/v1", "Role", "biospark-system", "biospark-environment-dev")


class Cluster(FakeCluster):
    """One environment, and a count of what is written."""

    def __init__(self, environment: Any) -> None:
        super().__init__({**environment, "apiVersion": "biospark.ai/v1alpha1", "kind": "BioSparkEnvironment"})
        self.writes = 0

    async def apply(self, manifest: Any, *, force: bool, dry_run: bool = False) -> Any:
        self.writes += 1
        return await super().apply(manifest, force=force, dry_run=dry_run)

    def garbage_collector_orphans(self) -> None:
        del self.objects[TRACE]["metadata"]["ownerReferences"]  # type: ignore[attr-defined]


@pytest.fixture
def environment() -> Any:
    return body("dev")


@pytest.fixture
def cluster(environment: Any) -> Cluster:
    return Cluster(environment)


@pytest.fixture
def trace(cluster: Any) -> OrphaningTrace:
    return OrphaningTrace(cluster, cluster, "biospark-system")


async def test_the_trace_is_owned_by_the_environment_and_grants_nothing(
    trace: OrphaningTrace, cluster: Cluster, environment: Any
) -> None:
    await trace.prepare(environment)
    made = cluster.objects[TRACE]
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["blockOwnerDeletion"]) == (environment["metadata"]["uid"], False)
    assert made["rules"] == []
    await trace.prepare(environment)
    assert cluster.writes == 1, "again writes nothing"


async def test_a_trace_without_its_owner_tells_of_orphan_propagation(
    trace: OrphaningTrace, cluster: Cluster, environment: Any
) -> None:
    await trace.prepare(environment)
    assert not await trace.asked(environment)
    cluster.garbage_collector_orphans()
    assert await trace.asked(environment)
    await trace.settle(environment)
    assert TRACE not in cluster.objects
    assert not await trace.asked(environment), "what foreground propagation deleted tells of none"


async def test_the_finalizer_tells_of_orphan_propagation_before_the_garbage_collector_came(
    trace: OrphaningTrace, environment: Any
) -> None:
    environment["metadata"]["finalizers"] = ["orphan", "biospark.ai/finalizer"]
    assert await trace.asked(environment)


async def test_the_owner_is_put_back_while_the_environment_lives_and_never_after(
    trace: OrphaningTrace, cluster: Cluster, environment: Any
) -> None:
    await trace.prepare(environment)
    cluster.garbage_collector_orphans()
    await trace.prepare(environment)
    assert not await trace.asked(environment), "somebody took it off by hand"
    cluster.garbage_collector_orphans()
    live: Any = cluster.objects[ObjectRef("biospark.ai/v1alpha1", "BioSparkEnvironment", None, "dev")]
    live["metadata"]["deletionTimestamp"] = "now"
    await trace.prepare(environment)
    assert await trace.asked(environment), "a pass that was under way must not undo it"


async def test_a_role_of_somebody_else_is_never_owned(
    trace: OrphaningTrace, cluster: Cluster, environment: Any
) -> None:
    cluster.objects[TRACE] = {
        "apiVersion": TRACE.api_version,
        "kind": "Role",
        "metadata": {"name": TRACE.name, "namespace": TRACE.namespace, "uid": "r", "resourceVersion": "1"},
    }
    with pytest.raises(RejectedError, match="is not the operator's"):
        await trace.prepare(environment)
    await trace.settle(environment)
    assert TRACE in cluster.objects
    assert not await trace.asked(environment)
