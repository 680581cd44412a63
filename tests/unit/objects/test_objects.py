"""Components of Kubernetes objects: what is planned, judged and removed, with a cluster in a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.clients.kubernetes.errors import ConflictError
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.engine.component import Environment, Identity, Removed
from biospark_operator.engine.convergence import converge
from biospark_operator.engine.errors import OutsideError, RejectedError, UnavailableError
from biospark_operator.engine.outcome import Blocked, Progressing, Ready
from biospark_operator.objects import kinds, ownership
from biospark_operator.objects.component import ObjectsComponent, Seen, Strangers
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment
from tests.fakes.world import FakeLeadership

SPACE = ObjectRef("v1", "Namespace", None, "biospark-dev")
CONFIG = ObjectRef("v1", "ConfigMap", "biospark-dev", "settings")


def build(env: Environment) -> Sequence[Manifest]:
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "biospark-dev"}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": "biospark-dev"},
            "data": {"mode": "dev"},
        },
    ]


class Cluster(FakeCluster):
    """Also gives uids, keeps the phase of namespaces and finalizers, and remembers how it was asked."""

    def __init__(self, *objects: Manifest) -> None:
        super().__init__(*objects)
        self.applied: list[tuple[str, bool]] = []
        self.manifests: list[Any] = []
        self.deleted: list[tuple[str, str]] = []
        #: Which manifests are refused, and with which words.
        self.refused: Callable[[Manifest], bool] = lambda _: False
        self.refusal: OutsideError = RejectedError("a required field is missing")

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        if self.refused(manifest):
            raise self.refusal
        ref = ObjectRef.of(manifest)
        self.applied.append((ref.kind, force))
        self.manifests.append(manifest)
        status = {"phase": "Active"} if ref.kind == "Namespace" else {}
        identity = {"uid": f"uid-{ref.kind}", "resourceVersion": str(len(self.applied))}
        live = {**manifest, "status": status, "metadata": {**manifest["metadata"], **identity}}
        live["metadata"]["managedFields"] = [
            {"manager": "biospark-operator", "operation": "Apply", "fieldsV1": fields(manifest)}
        ]
        self.objects[ref] = live
        return live

    async def delete(self, ref: ObjectRef, *, uid: str, foreground: bool = False) -> None:
        self.deleted.append((ref.kind, uid))
        live: Any = self.objects[ref]
        if live["metadata"].get("finalizers"):
            live["metadata"]["deletionTimestamp"] = "now"
        else:
            del self.objects[ref]


def fields(value: Any) -> Any:
    """What the API server notes of an object that was applied, for maps; lists count as one value."""
    names = ("apiVersion", "kind", "name", "namespace", "uid", "resourceVersion")
    if not isinstance(value, dict):
        return {}
    top = "metadata" in value
    return {
        f"f:{key}": fields(item if key != "metadata" else {k: v for k, v in item.items() if k not in names})
        for key, item in value.items()
        if not (top and key in names)
    }


KINDS = frozenset({kinds.NAMESPACE, kinds.CONFIG_MAP})


@pytest.fixture
def env() -> Environment:
    return environment()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def component(cluster: Cluster, **options: Any) -> ObjectsComponent:
    return ObjectsComponent("base", "BaseReady", cluster, build, KINDS, **options)


async def converged(made: ObjectsComponent, env: Environment) -> Any:
    """Observe, plan, apply and judge once, as the engine does."""
    return (await converge(made, env, apply=True, leadership=FakeLeadership())).outcome


async def test_what_is_missing_is_created_in_order_without_force(env: Environment, cluster: Cluster) -> None:
    made = component(cluster)
    assert await converged(made, env) == Ready("Succeeded", "2 objects are as specified")
    assert cluster.applied == [("Namespace", False), ("ConfigMap", False)]
    assert made.plan(env, await made.observe(env)) == []


async def test_every_object_carries_the_marks_of_its_environment(env: Environment, cluster: Cluster) -> None:
    await converged(component(cluster), env)
    for live in cluster.objects.values():
        assert live["metadata"]["annotations"]["biospark.ai/created-for"] == env.uid
        assert "ownerReferences" not in live["metadata"], "or garbage collection would delete it out of order"
        assert live["metadata"]["labels"]["app.kubernetes.io/component"] == "base"


async def test_a_difference_is_forced_on_our_object_and_named_by_its_path(env: Environment, cluster: Cluster) -> None:
    made = component(cluster)
    await converged(made, env)
    cluster.objects[CONFIG]["data"]["mode"] = "planted"  # type: ignore[index]
    (action,) = made.plan(env, await made.observe(env))
    assert (action.verb, action.target, action.summary) == (Verb.UPDATE, str(CONFIG), "set data.mode")
    assert "planted" not in repr(action)
    await made.apply(env, action)
    assert cluster.applied[-1] == ("ConfigMap", True)


def test_the_targets_are_those_that_are_planned(env: Environment, cluster: Cluster) -> None:
    made = component(cluster)
    planned = made.plan(env, Seen({ObjectRef.of(m): m for m in build(env)}, {}))
    assert [action.target for action in planned] == list(made.targets(env)) == [str(SPACE), str(CONFIG)]


FOREIGN = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "biospark-dev", "uid": "f", "resourceVersion": "1"},
}


def foreign(**metadata: Any) -> Manifest:
    return {**FOREIGN, "metadata": {**FOREIGN["metadata"], **metadata}, "status": {"phase": "Active"}}  # type: ignore[dict-item]


CONFIG_MADE_BEFORE: Manifest = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "namespace": "biospark-dev", "uid": "c", "resourceVersion": "1"},
}
OTHER = {"kind": "BioSparkEnvironment", "name": "other", "uid": "x"}
RELEASE = {"kind": "HelmRelease", "name": "legacy", "uid": "x"}


@pytest.mark.parametrize(
    ("metadata", "reason", "says"),
    [
        ({}, "NotOwned", "set spec.adoptionPolicy: IfUnowned to take it over"),
        ({"ownerReferences": [OTHER]}, "NamespaceConflict", "belongs to BioSparkEnvironment other"),
        ({"labels": {"biospark.ai/environment": "other"}}, "NamespaceConflict", "choose another spec.namespace.name"),
        ({"ownerReferences": [RELEASE]}, "NotOwned", "belongs to HelmRelease legacy; remove it there"),
    ],
)
async def test_what_is_not_ours_is_refused_and_left_alone(
    env: Environment, metadata: dict[str, Any], reason: str, says: str
) -> None:
    cluster = Cluster(foreign(**metadata))
    made = component(cluster)
    seen = await made.observe(env)
    outcome = made.refuse(env, seen)
    assert isinstance(outcome, Blocked)
    assert outcome.reason == reason
    assert says in outcome.message


async def adopted(cluster: Cluster, **options: Any) -> tuple[ObjectsComponent, Environment]:
    """Take over all that is in `cluster` and make the rest."""
    env = environment(adoptionPolicy="IfUnowned")
    made = component(cluster, **options)
    assert await converged(made, env) == Ready("Succeeded", "2 objects are as specified")
    return made, env


async def test_what_nobody_owns_is_adopted_when_allowed_but_not_by_force() -> None:
    env, cluster = environment(adoptionPolicy="IfUnowned"), Cluster(foreign(resourceVersion="7"))
    made = component(cluster)
    actions = made.plan(env, await made.observe(env))
    assert (actions[0].verb, actions[0].summary) == (Verb.UPDATE, "adopt Namespace biospark-dev")
    await made.apply(env, actions[0])
    assert cluster.applied == [("Namespace", False)]
    metadata = cluster.manifests[0]["metadata"]
    assert (metadata["uid"], metadata["resourceVersion"]) == ("f", "7"), "as it was seen"


async def test_what_is_adopted_never_counts_as_created_and_what_is_made_in_it_does() -> None:
    cluster = Cluster(foreign())
    made, env = await adopted(cluster)
    assert "annotations" not in cluster.objects[SPACE]["metadata"]
    assert cluster.objects[SPACE]["metadata"]["labels"]["biospark.ai/origin"] == "Adopted"
    assert cluster.objects[CONFIG]["metadata"]["annotations"]["biospark.ai/created-for"] == env.uid
    assert cluster.objects[CONFIG]["metadata"]["labels"]["biospark.ai/origin"] == "Created"
    assert made.plan(env, await made.observe(env)) == []


async def test_common_labels_of_what_is_adopted_are_left_to_who_set_them() -> None:
    helm = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "team-a"}
    cluster = Cluster(foreign(labels=helm, annotations={"meta.helm.sh/release-name": "team-a"}))
    await adopted(cluster)
    applied = cluster.manifests[0]["metadata"]
    assert applied["labels"] == {"biospark.ai/environment": "dev", "biospark.ai/origin": "Adopted"}
    assert "annotations" not in applied


async def test_what_was_adopted_is_released_and_what_was_made_is_deleted() -> None:
    cluster = Cluster(foreign())
    made, env = await adopted(cluster)
    uid = cluster.objects[SPACE]["metadata"]["uid"]
    result = await made.remove(env.identity, [str(SPACE), str(CONFIG)])
    assert result == Removed(released=(str(SPACE),), deleted=(str(CONFIG),))
    assert cluster.deleted == [("ConfigMap", "uid-ConfigMap")]
    assert cluster.manifests[-1] == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "biospark-dev", "uid": uid},
    }


async def test_what_can_not_be_without_our_values_keeps_them_when_it_is_released() -> None:
    cluster = Cluster({**CONFIG_MADE_BEFORE, "data": {"theirs": "stays"}})
    made, env = await adopted(cluster)
    cluster.refused = lambda manifest: "data" not in manifest
    assert (await made.remove(env.identity, [str(CONFIG)])).released == (str(CONFIG),)
    assert cluster.manifests[-1]["data"] == {"mode": "dev"}
    assert set(cluster.manifests[-1]["metadata"]) == {"name", "namespace", "uid"}


@pytest.mark.parametrize("lost", ["biospark.ai/origin", "biospark.ai/environment", None])
async def test_what_was_adopted_is_never_deleted_whatever_mark_gets_lost(lost: str | None) -> None:
    cluster = Cluster(foreign())
    made, env = await adopted(cluster)
    labels: Any = cluster.objects[SPACE]["metadata"]["labels"]
    for label in [lost] if lost else list(labels):
        del labels[label]
    await converged(made, env)
    assert "annotations" not in cluster.objects[SPACE]["metadata"]
    await made.remove(env.identity, [str(SPACE), str(CONFIG)])
    assert [kind for kind, _ in cluster.deleted] == ["ConfigMap"]


@pytest.mark.parametrize("lost", ["annotations", "labels"])
async def test_a_mark_that_somebody_took_off_what_was_made_is_put_back(
    env: Environment, cluster: Cluster, lost: str
) -> None:
    made = component(cluster)
    await converged(made, env)
    del cluster.objects[SPACE]["metadata"][lost]  # type: ignore[attr-defined]
    await converged(made, env)
    assert cluster.objects[SPACE]["metadata"]["annotations"]["biospark.ai/created-for"] == env.uid
    assert cluster.objects[SPACE]["metadata"]["labels"]["biospark.ai/origin"] == "Created"
    await made.remove(env.identity, [str(SPACE)])
    assert cluster.deleted == [("Namespace", "uid-Namespace")]


async def test_what_is_created_is_never_applied_to_an_object_that_is_there_by_then(
    env: Environment, cluster: Cluster
) -> None:
    made = component(cluster)
    actions = made.plan(env, await made.observe(env))
    await made.apply(env, actions[1])
    assert cluster.manifests[0]["metadata"]["resourceVersion"] == "1", "which no object has"
    cluster.refused, cluster.refusal = lambda manifest: True, ConflictError("the object has been modified; retrying")
    for action, reason in zip(actions, ("NamespaceConflict", "NotOwned"), strict=True):
        with pytest.raises(UnavailableError, match="looking at it again") as raised:
            await made.apply(env, action)
        assert raised.value.reason == reason


async def test_a_repair_is_never_applied_to_another_object_of_the_name(env: Environment, cluster: Cluster) -> None:
    made = component(cluster)
    await converged(made, env)
    cluster.objects[CONFIG]["data"]["mode"] = "other"  # type: ignore[index]
    (action,) = made.plan(env, await made.observe(env))
    await made.apply(env, action)
    assert cluster.manifests[-1]["metadata"]["uid"] == "uid-ConfigMap"
    cluster.refused, cluster.refusal = lambda manifest: True, ConflictError("uid mismatch; retrying")
    with pytest.raises(ConflictError, match="uid mismatch"):
        await made.apply(env, action)


def binding(env: Environment) -> Sequence[Manifest]:
    metadata = {"name": "viewer", "namespace": "biospark-dev"}
    return [{"apiVersion": "v1", "kind": "RoleBinding", "metadata": metadata, "roleRef": {"name": "viewer"}}]


@pytest.mark.parametrize("origin", ["Created", "Adopted"])
async def test_what_can_not_be_changed_is_made_anew_unless_it_was_adopted(cluster: Cluster, origin: str) -> None:
    env, made = environment(), ObjectsComponent("base", "BaseReady", cluster, binding, frozenset({kinds.ROLE_BINDING}))
    await converged(made, env)
    (live,) = cluster.objects.values()
    live["roleRef"]["name"] = "admin"  # type: ignore[index]
    live["metadata"]["labels"]["biospark.ai/origin"] = origin
    if origin == "Adopted":
        del live["metadata"]["annotations"]  # type: ignore[attr-defined]
    (action,) = made.plan(env, await made.observe(env))
    assert action.verb is (Verb.REPLACE if origin == "Created" else Verb.UPDATE)
    await made.apply(env, action)
    assert cluster.deleted == ([("RoleBinding", "uid-RoleBinding")] if origin == "Created" else [])
    metadata = cluster.manifests[-1]["metadata"]
    assert metadata.get("resourceVersion") == ("1" if origin == "Created" else None)


async def test_the_same_repair_reads_the_same_whatever_version_of_the_object_it_is_for() -> None:
    env, seen = environment(adoptionPolicy="IfUnowned"), []
    for version in ("7", "8"):
        made = component(Cluster(foreign(resourceVersion=version)))
        seen.append(repr(made.plan(env, await made.observe(env))[0].payload))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "metadata",
    [{"ownerReferences": [OTHER]}, {"labels": {"biospark.ai/environment": "other"}}, {"ownerReferences": [RELEASE]}],
)
async def test_what_somebody_owns_is_never_adopted(metadata: dict[str, Any]) -> None:
    env, cluster = environment(adoptionPolicy="IfUnowned"), Cluster(foreign(**metadata))
    made = component(cluster)
    assert isinstance(await converged(made, env), Blocked)
    assert ("Namespace", False) not in cluster.applied


async def test_nothing_is_done_while_an_object_is_on_its_way_out(env: Environment, cluster: Cluster) -> None:
    made = component(cluster)
    await converged(made, env)
    cluster.objects[SPACE]["metadata"] |= {"deletionTimestamp": "now", "finalizers": ["example.com/hold"]}  # type: ignore[index]
    del cluster.objects[CONFIG]
    seen = await made.observe(env)
    assert made.plan(env, seen) == []
    outcome = made.judge(env, seen)
    assert isinstance(outcome, Progressing)
    assert outcome.reason == "NamespaceTerminating"
    assert "waits until Namespace biospark-dev is deleted: finalizer example.com/hold" in outcome.message


async def test_a_pod_that_holds_up_a_namespace_is_named_whatever_the_namespace_says(
    env: Environment, cluster: Cluster
) -> None:
    made = component(cluster)
    await converged(made, env)
    said = {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content successfully deleted"}
    cluster.objects[SPACE]["metadata"] |= {"deletionTimestamp": "now"}  # type: ignore[index]
    cluster.objects[SPACE]["status"]["conditions"] = [said]  # type: ignore[index]
    for name, finalizers in (("a", ["example.com/hold"]), ("b", [])):
        metadata = {"name": name, "namespace": "biospark-dev", "finalizers": finalizers}
        cluster.objects[ObjectRef("v1", "Pod", "biospark-dev", name)] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
        }
    outcome = await converged(made, env)
    assert isinstance(outcome, Progressing)
    assert outcome.message == ("waits until Namespace biospark-dev is deleted: finalizer example.com/hold on Pod a")


async def test_what_is_not_there_or_not_in_order_is_progress(env: Environment, cluster: Cluster) -> None:
    made = component(cluster)
    assert "Namespace biospark-dev does not exist yet" in made.judge(env, await made.observe(env)).message
    await converged(made, env)
    cluster.objects[SPACE]["status"]["phase"] = "Strange"  # type: ignore[index]
    assert "it is Strange" in made.judge(env, await made.observe(env)).message


async def test_a_manifest_is_completed_by_what_is_read(env: Environment, cluster: Cluster) -> None:
    source = ObjectRef("v1", "ConfigMap", "elsewhere", "source")

    def fill(
        env: Environment, manifest: Manifest, live: Manifest | None, sources: Mapping[ObjectRef, Manifest]
    ) -> Manifest:
        return {**manifest, "data": sources[source]["data"]} if manifest["kind"] == "ConfigMap" else manifest

    await cluster.apply({**build(env)[1], "metadata": {"name": "source", "namespace": "elsewhere"}}, force=True)
    await converged(component(cluster, fill=fill, sources=lambda _: [source]), env)
    assert cluster.objects[CONFIG]["data"] == {"mode": "dev"}


async def test_evidence_is_read_only_while_something_is_wrong(env: Environment, cluster: Cluster) -> None:
    asked = []

    async def evidence(env: Environment, seen: Seen) -> Sequence[Manifest]:
        asked.append(env.name)
        return [{"kind": "Pod"}]

    made = component(cluster, evidence=evidence)
    assert (await made.observe(env)).evidence == ()
    await converged(made, env)
    assert not asked, "neither while objects are missing, nor once all is well"
    cluster.objects[SPACE]["status"]["phase"] = "Strange"  # type: ignore[index]
    assert (await made.observe(env)).evidence == [{"kind": "Pod"}]


async def test_assess_tell_and_when_have_the_last_word(env: Environment, cluster: Cluster) -> None:
    verdict = Blocked("Invalid", "no")
    made = component(cluster, assess=lambda *_: verdict, tell=lambda *_: {"namespace": "x"}, when=lambda _: False)
    seen = await made.observe(env)
    assert made.judge(env, seen) is verdict
    assert made.facts(env, seen) == {"namespace": "x"}
    assert not made.enabled(env)


async def removed(cluster: Cluster, owner: Identity) -> Any:
    return (await component(cluster).remove(owner, [str(SPACE), str(CONFIG)])).waiting


async def test_what_is_ours_is_deleted_by_its_uid(env: Environment, cluster: Cluster) -> None:
    await converged(component(cluster), env)
    assert await removed(cluster, env.identity) == {}
    assert sorted(cluster.deleted) == [("ConfigMap", "uid-ConfigMap"), ("Namespace", "uid-Namespace")]
    assert await removed(cluster, env.identity) == {}


async def test_what_is_held_up_is_waited_for_and_not_deleted_again(env: Environment, cluster: Cluster) -> None:
    await converged(component(cluster), env)
    cluster.objects[CONFIG]["metadata"]["finalizers"] = ["example.com/hold"]  # type: ignore[index]
    for _ in range(2):
        assert await removed(cluster, env.identity) == {str(CONFIG): "finalizer example.com/hold"}
    assert [kind for kind, _ in cluster.deleted].count("ConfigMap") == 1


@pytest.mark.parametrize(
    "metadata", [{}, {"ownerReferences": [OTHER]}, {"labels": {"biospark.ai/environment": "other"}}]
)
async def test_what_is_not_ours_counts_as_gone_and_stays(env: Environment, metadata: dict[str, Any]) -> None:
    cluster = Cluster(foreign(**metadata))
    assert await removed(cluster, env.identity) == {}
    assert SPACE in cluster.objects


async def test_what_a_namesake_owned_is_not_ours(env: Environment, cluster: Cluster) -> None:
    await converged(component(cluster), env)
    assert await removed(cluster, Identity(env.name, "another-uid")) == {}
    assert cluster.deleted == []


async def test_the_owner_reference_of_earlier_versions_counts_as_a_mark_and_is_taken_off(
    env: Environment, cluster: Cluster
) -> None:
    made = component(cluster)
    await converged(made, env)
    metadata: Any = cluster.objects[SPACE]["metadata"]
    del metadata["annotations"], metadata["labels"]
    metadata["ownerReferences"] = [{"kind": "BioSparkEnvironment", "name": env.name, "uid": env.uid}]
    metadata["managedFields"][0]["fieldsV1"]["f:metadata"]["f:ownerReferences"] = {f'k:{{"uid":"{env.uid}"}}': {}}
    assert await converged(made, env) == Ready("Succeeded", "2 objects are as specified")
    assert "ownerReferences" not in cluster.objects[SPACE]["metadata"]
    assert made.plan(env, await made.observe(env)) == []


async def test_what_an_earlier_environment_of_the_name_left_is_refused_until_it_is_named(
    env: Environment, cluster: Cluster
) -> None:
    made = component(cluster)
    await converged(made, env)
    anew = replace(env, identity=replace(env.identity, uid="another-uid"))
    refused = await converged(made, anew)
    assert isinstance(refused, Blocked)
    assert refused.message == (
        "Namespace biospark-dev exists and was created for an earlier environment dev with the uid uid-of-dev; to take "
        "over what that left, annotate this one with biospark.ai/take-over-from: uid-of-dev"
    )
    heir = replace(anew, identity=replace(anew.identity, predecessor="uid-of-dev"))
    assert isinstance(await converged(made, heir), Ready)
    assert isinstance(await converged(made, anew), Ready), "the annotation may go once it was followed"
    await removed(cluster, env.identity)
    assert cluster.deleted == [], "what was taken over is not the earlier one's any more"


async def test_nothing_is_taken_over_from_an_environment_of_another_name(env: Environment, cluster: Cluster) -> None:
    made = component(cluster)
    await converged(made, env)
    thief = replace(env, identity=Identity("thief", "another-uid", predecessor=env.uid))
    outcome = await converged(made, thief)
    assert isinstance(outcome, Blocked)
    assert "belongs to BioSparkEnvironment dev" in outcome.message
    await removed(cluster, thief.identity)
    assert cluster.deleted == []


@pytest.mark.parametrize("first", ["made", "adopted"])
async def test_deletion_that_orphans_leaves_everything_as_it_is_without_our_marks(first: str) -> None:
    cluster = Cluster(*([foreign()] if first == "adopted" else []))
    made, env = await adopted(cluster)
    before = cluster.objects[CONFIG]["data"]
    owner = replace(env.identity, deleting=True, orphans=True)
    result = await made.remove(owner, [str(SPACE), str(CONFIG)])
    assert result == Removed(released=(str(SPACE), str(CONFIG)))
    assert cluster.deleted == []
    assert cluster.objects[CONFIG]["data"] == before
    assert not any(ownership.is_ours(live, env.identity) for live in cluster.objects.values())
    assert await made.remove(owner, [str(SPACE), str(CONFIG)]) == Removed(), "again changes nothing"


async def test_what_isolates_pods_is_left_to_the_deletion_of_the_namespace(env: Environment, cluster: Cluster) -> None:
    made = component(cluster, goes_with_namespace=True)
    await converged(made, env)
    assert await made.remove(replace(env.identity, deleting=True), [str(CONFIG)]) == Removed()
    assert cluster.deleted == []
    pruned = await made.remove(env.identity, [str(CONFIG)])
    assert pruned.deleted == (str(CONFIG),), "what is only not wanted any more goes at once"


async def test_what_isolates_pods_is_deleted_from_a_namespace_that_stays() -> None:
    cluster = Cluster(foreign())
    made, env = await adopted(cluster, goes_with_namespace=True)
    result = await made.remove(replace(env.identity, deleting=True), [str(CONFIG)])
    assert result.deleted == (str(CONFIG),)


async def test_what_others_have_beside_it_is_named_and_left_alone(env: Environment, cluster: Cluster) -> None:
    strangers = Strangers("v1", "ConfigMap", lambda live: live["data"].get("opens") == "yes", "opened", "spec.network")
    made = component(cluster, strangers=strangers)
    await converged(made, env)
    for name, opens in (("b", "yes"), ("a", "yes"), ("harmless", "no")):
        stranger = {**CONFIG_MADE_BEFORE, "metadata": {**CONFIG_MADE_BEFORE["metadata"], "name": name}}
        cluster.objects[ObjectRef.of(stranger)] = {**stranger, "data": {"opens": opens}}
    written = len(cluster.applied)
    assert await converged(made, env) == Ready(
        "Succeeded",
        "2 objects are as specified; more is opened by others with ConfigMap a, b: delete that, or use spec.network",
    )
    assert len(cluster.applied) == written


async def test_an_id_that_names_no_object_is_gone_so_an_edited_status_does_not_stop_deletion(
    env: Environment, cluster: Cluster
) -> None:
    waiting = await component(cluster).remove(env.identity, ["by hand", "", "v1 Namespace", "a b c d"])
    assert waiting == Removed()
