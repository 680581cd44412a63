"""What the condition of the API says about a rollout, from what Kubernetes reports of its pods."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components.workload import rollout
from biospark_operator.engine.outcome import Blocked, Outcome, Progressing, Ready
from biospark_operator.objects.component import Seen
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment
from tests.unit.components.rollouts import (
    IMAGE,
    NEW,
    RUNNING,
    VERSIONS,
    deployment,
    ended,
    gave_up,
    pod,
    refused,
    replica_set,
    serving,
    waiting,
)

ENV = environment()
LOG = f"kubectl logs -n biospark-dev -l app=biospark,pod-template-hash={NEW} -c api --previous --ignore-errors"


def assess(live: Manifest, *evidence: Manifest, versions: Sequence[Manifest] = VERSIONS) -> Outcome:
    """Judge a Deployment by what is seen of its pods."""
    return rollout.assess(ENV, seen_only(live, *versions, *evidence))


def seen_only(live: Manifest, *evidence: Manifest) -> Seen:
    ref = ObjectRef.of(live)
    return Seen({ref: live}, {ref: live}, evidence)


def test_a_finished_rollout_is_ready() -> None:
    outcome = assess(deployment(available=1), serving(NEW))
    assert outcome == Ready(Reason.SUCCEEDED, "all pods of Deployment biospark-dev/biospark-api are ready")


def test_an_object_that_is_missing_is_named() -> None:
    ref = ObjectRef("v1", "Service", "biospark-dev", "biospark-api")
    outcome = rollout.assess(ENV, Seen({ref: {}}, {}))
    assert outcome == Progressing(Reason.ROLLING_OUT, "Service biospark-dev/biospark-api does not exist yet", 3.0)


@pytest.mark.parametrize(
    ("live", "why"),
    [
        (deployment(replicas=2, updated=1, total=3), "1 of 2 pods are of the new version"),
        (deployment(replicas=2, updated=2, total=3), "1 pods of the old version are still there"),
        (deployment(replicas=2, updated=2, available=1), "1 of 2 pods are ready"),
    ],
)
def test_a_rollout_on_its_way_is_counted(live: Manifest, why: str) -> None:
    outcome = assess(live, pod(waiting("ContainerCreating")))
    assert outcome == Progressing(Reason.ROLLING_OUT, f"Deployment biospark-dev/biospark-api: {why}", 3.0)


def test_the_status_of_an_earlier_specification_explains_nothing() -> None:
    live = deployment(observed=1, conditions=gave_up())
    outcome = assess(live, pod(waiting("InvalidImageName")))
    assert isinstance(outcome, Progressing)
    assert outcome.message.endswith("its controller has not looked at the change yet")


NOT_FOUND = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": {IMAGE}: not found'
BACK_OFF = f'Back-off pulling image "{IMAGE}": ErrImagePull: rpc error: code = NotFound desc = {NOT_FOUND}'
PULL = "https://registry.example/v2/biospark/api/manifests/1"


@pytest.mark.parametrize(
    ("state", "message", "words", "kind"),
    [
        ("ErrImagePull", NOT_FOUND, "does not exist in the registry; push it, or correct spec.api.image", Blocked),
        ("ImagePullBackOff", BACK_OFF, "does not exist in the registry; push it, or correct spec.api.image", Blocked),
        (
            "ErrImagePull",
            f"failed to authorize: failed to fetch anonymous token: unexpected status from GET request to {PULL}: "
            "401 Unauthorized",
            "is refused by the registry, which needs credentials or does not have it; check "
            "spec.registry.pullSecretRef and spec.api.image",
            Blocked,
        ),
        (
            "ErrImagePull",
            "pull access denied, repository does not exist or may require authorization: server message: "
            "insufficient_scope: authorization failed",
            "is refused by the registry, which needs credentials or does not have it; check "
            "spec.registry.pullSecretRef and spec.api.image",
            Blocked,
        ),
        ("InvalidImageName", "couldn't parse image name", "is not a valid reference; correct spec.api.image", Blocked),
        (
            "ErrImageNeverPull",
            f'Container image "{IMAGE}" is not present with pull policy of Never',
            "is not on the node, and platform.imagePullPolicy is Never; load it onto the nodes, or change that "
            "setting of the operator",
            Blocked,
        ),
        (
            "ErrImagePull",
            f'failed to do request: Head "{PULL}": tls: failed to verify certificate: x509: certificate signed by '
            "unknown authority",
            "can't be pulled: the nodes don't trust the registry's certificate, or it has none",
            Blocked,
        ),
        (
            "ErrImagePull",
            f'failed to do request: Head "{PULL}": dial tcp: lookup registry.example: no such host',
            "can't be pulled yet: the registry has no address",
            Progressing,
        ),
        (
            "ErrImagePull",
            f'failed to do request: Head "{PULL}": dial tcp 10.0.0.1:443: connect: connection refused',
            "can't be pulled yet: the registry does not answer",
            Progressing,
        ),
        (
            "ErrImagePull",
            "unexpected status code 429 Too Many Requests - toomanyrequests: You have reached your pull rate limit",
            "can't be pulled yet: the registry limits the pulls",
            Progressing,
        ),
        (
            "ImagePullBackOff",
            f'Back-off pulling image "{IMAGE}"',
            "can't be pulled yet; kubectl describe pods says more",
            Progressing,
        ),
    ],
)
def test_an_image_that_cannot_be_pulled_is_named_with_the_cause(
    state: str, message: str, words: str, kind: type[Outcome]
) -> None:
    outcome = assess(deployment(), pod(waiting(state, message)))
    assert isinstance(outcome, kind)
    assert (outcome.reason, outcome.message) == (Reason.IMAGE_PULL_FAILED, f"image {IMAGE} {words}")


def test_the_name_of_an_image_is_not_taken_for_the_cause() -> None:
    image = "registry.example/unauthorized/not-found:429"
    message = f'failed to do request: Head "https://{image}": dial tcp 10.0.0.1:443: i/o timeout'
    outcome = assess(deployment(), pod(waiting("ErrImagePull", message), image=image))
    assert outcome.message == f"image {image} can't be pulled yet: the registry does not answer"


CRASHED = f"container api ends with exit code 1 again and again; read its log with {LOG}"


@pytest.mark.parametrize(
    "crashing",
    [
        pod(waiting("CrashLoopBackOff", "back-off 40s restarting failed container=api"), last=ended(1), restarts=3),
        pod({"terminated": ended(1)}, last=ended(1), restarts=4),
        pod(RUNNING, last=ended(1), restarts=5),
        pod(RUNNING, last=ended(1), restarts=5, started=True),
    ],
    ids=["waiting", "terminated", "starting", "started"],
)
def test_a_crash_loop_reads_the_same_in_each_of_its_states(crashing: Manifest) -> None:
    assert assess(deployment(), crashing) == Blocked(Reason.CRASH_LOOPING, CRASHED)


def test_the_first_ends_of_a_container_may_be_bad_luck() -> None:
    outcome = assess(deployment(), pod(waiting("CrashLoopBackOff", "back-off 10s"), last=ended(1), restarts=1))
    words = f"container api ends with exit code 1 and is started again; read its log with {LOG}"
    assert outcome == Progressing(Reason.ROLLING_OUT, words, 15.0)


def test_a_container_beyond_its_memory_is_told_from_a_crash() -> None:
    outcome = assess(deployment(), pod(waiting("CrashLoopBackOff"), last=ended(137, "OOMKilled"), restarts=3))
    words = (
        "container api uses more memory than its limit and is killed (OOMKilled) again and again; "
        "raise spec.api.resources.limits.memory"
    )
    assert outcome == Blocked(Reason.CRASH_LOOPING, words)


@pytest.mark.parametrize(("code", "words"), [(137, "exit code 137 (killed)"), (143, "exit code 143 (terminated)")])
def test_exit_codes_of_signals_are_translated(code: int, words: str) -> None:
    assert words in assess(deployment(), pod(waiting("CrashLoopBackOff"), last=ended(code), restarts=3)).message


QUOTA = "exceeded quota: biospark-quota, requested: limits.cpu=500m, used: limits.cpu=2, limited: limits.cpu=2"
PRIVILEGED = 'violates PodSecurity "restricted:latest": privileged (container "debug" must not set privileged=true)'


@pytest.mark.parametrize(
    ("cause", "reason", "words"),
    [
        (
            QUOTA,
            Reason.QUOTA_EXCEEDED,
            f"no room for another pod: {QUOTA}; raise spec.namespace.quota (Kubernetes tries again within minutes), "
            "or lower spec.api.resources or the number of replicas",
        ),
        (
            PRIVILEGED,
            Reason.INVALID,
            f"the namespace admits no pod: {PRIVILEGED}; set spec.namespace.podSecurity to a less strict level, or "
            "remove what adds this to the pods",
        ),
        (
            "no PriorityClass with name urgent was found",
            Reason.INVALID,
            "an admission policy of the cluster refuses the pods: no PriorityClass with name urgent was found",
        ),
    ],
)
def test_pods_that_are_not_admitted_need_a_human(cause: str, reason: Reason, words: str) -> None:
    for suffix in ("x2x4z", "b7k9q"):  # every try has another name
        failure = refused(f'pods "biospark-api-{NEW}-{suffix}" is forbidden: {cause}')
        assert assess(deployment(updated=0, conditions=failure)) == Blocked(reason, words)


def test_a_pod_that_could_not_be_created_for_another_cause_is_tried_again() -> None:
    failure = refused(f'error creating pods "biospark-api-{NEW}-x2x4z": Timeout: request did not complete within 34s')
    outcome = assess(deployment(updated=0, conditions=failure))
    words = "Kubernetes can't create a pod: error creating a pod: Timeout: request did not complete within <time>"
    assert outcome == Progressing(Reason.ROLLING_OUT, words, 15.0)


NO_NODE = {
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are "
    "available: 1 No preemption victims found for incoming pod.",
}
NO_NODE_WORDS = (
    "no node can take a pod: 0/1 nodes are available: 1 Insufficient cpu; add nodes, or lower spec.api.resources"
)


def test_a_pod_that_no_node_takes_waits_with_the_schedulers_words() -> None:
    assert assess(deployment(), pod(scheduled=NO_NODE)) == Progressing(Reason.UNSCHEDULABLE, NO_NODE_WORDS, 15.0)


def test_an_obstacle_that_outlasts_the_progress_deadline_needs_a_human() -> None:
    outcome = assess(deployment(conditions=gave_up()), pod(scheduled=NO_NODE))
    assert outcome == Blocked(Reason.UNSCHEDULABLE, NO_NODE_WORDS)


def test_a_rollout_given_up_without_a_known_obstacle_points_at_the_pods() -> None:
    outcome = assess(deployment(conditions=gave_up()), pod(waiting("ContainerCreating")))
    words = (
        "Deployment biospark-dev/biospark-api: 0 of 1 pods are ready; it makes no progress: "
        "look at its pods with kubectl describe pods -n biospark-dev -l app=biospark"
    )
    assert outcome == Blocked(Reason.PROGRESS_DEADLINE_EXCEEDED, words)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('secret "biospark-database" not found', 'secret "biospark-database" not found'),
        (
            "container has runAsNonRoot and image will run as root (pod: "
            '"biospark-api-7f6b5c4d9-x2x4z_biospark-dev(0b1e6a52-7ad5-4d5f-9e0c-3f4cf5f4b7a1)", container: api)',
            "container has runAsNonRoot and image will run as root",
        ),
        (
            'failed to reserve container name "api_biospark-api-7f6b5c4d9-x2x4z_biospark-dev_0": name is reserved for '
            '"8f1c2d3e4f5a6b7c8d9e"',
            'failed to reserve container name "api_<pod>_biospark-dev_0": name is reserved for "<id>"',
        ),
    ],
)
def test_a_container_that_cannot_be_started_is_explained_without_what_changes(message: str, words: str) -> None:
    outcome = assess(deployment(), pod(waiting("CreateContainerConfigError", message)))
    assert outcome == Progressing(Reason.ROLLING_OUT, f"container api can't be started: {words}", 15.0)


def test_a_configuration_error_that_lasts_needs_a_human() -> None:
    bad = pod(waiting("CreateContainerConfigError", 'secret "x" not found'))
    outcome = assess(deployment(conditions=gave_up()), bad)
    words = 'container api can\'t be started: secret "x" not found'
    assert outcome == Blocked(Reason.PROGRESS_DEADLINE_EXCEEDED, words)


def test_a_failing_readiness_probe_is_named() -> None:
    outcome = assess(deployment(), pod(RUNNING, started=True))
    words = "container api runs, but its readiness probe /readyz does not succeed"
    assert outcome == Progressing(Reason.ROLLING_OUT, words, 15.0)


def test_a_container_within_its_time_to_start_is_no_obstacle() -> None:
    outcome = assess(deployment(), pod(RUNNING))
    assert outcome.message == "Deployment biospark-dev/biospark-api: 0 of 1 pods are ready"


def test_a_paused_rollout_needs_a_human() -> None:
    outcome = assess(deployment(replicas=2, updated=0, paused=True), serving())
    words = "somebody paused the rollout; resume it with kubectl rollout resume -n biospark-dev deployment/biospark-api"
    assert outcome == Blocked(Reason.ROLLING_OUT, f"{words}; 1 of 1 pods of the previous version still serve")


def test_a_broken_rollout_tells_how_many_of_the_previous_version_serve() -> None:
    live = deployment(replicas=2, updated=1, total=3, available=2)
    outcome = assess(live, serving(suffix="a"), serving(suffix="b"), pod(waiting("InvalidImageName")))
    assert outcome.message.endswith("; 2 of 2 pods of the previous version still serve")


def test_only_pods_of_the_new_version_explain_a_rollout() -> None:
    broken = pod(waiting("CrashLoopBackOff"), version="5d9c7b8f6d", last=ended(1), restarts=9)
    outcome = assess(deployment(replicas=2, updated=1, total=2), broken, pod(waiting("ContainerCreating")))
    assert outcome == Progressing(
        Reason.ROLLING_OUT, "Deployment biospark-dev/biospark-api: 1 of 2 pods are of the new version", 3.0
    )


@pytest.mark.parametrize(
    "leaving",
    [
        pod(waiting("InvalidImageName"), metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        {**pod(waiting("InvalidImageName")), "status": {**pod()["status"], "phase": "Failed", "reason": "Evicted"}},
    ],
    ids=["deleted", "evicted"],
)
def test_pods_on_their_way_out_explain_nothing(leaving: Manifest) -> None:
    assert assess(deployment(), leaving).reason == Reason.ROLLING_OUT


def test_of_several_obstacles_the_gravest_is_told_whatever_the_order_of_pods() -> None:
    pods = [
        pod(RUNNING, started=True, suffix="a"),
        pod(waiting("CrashLoopBackOff"), last=ended(1), restarts=3, suffix="b"),
        pod(scheduled=NO_NODE, suffix="c"),
    ]
    live = deployment(replicas=3, updated=3)
    assert assess(live, *pods) == assess(live, *reversed(pods)) == Blocked(Reason.CRASH_LOOPING, CRASHED)


async def test_evidence_is_the_apis_pods_and_replica_sets_of_the_namespace() -> None:
    mine, set_ = serving(), replica_set(NEW, 2)
    other = {**mine, "metadata": {**mine["metadata"], "name": "other", "labels": {"app": "other"}}}
    elsewhere = {**mine, "metadata": {**mine["metadata"], "namespace": "biospark-staging"}}
    found = await rollout.evidence(FakeCluster(mine, other, elsewhere, set_), ENV, seen_only(deployment()))
    assert found == [set_, mine]


async def test_pods_are_not_read_before_kubernetes_has_seen_the_deployment() -> None:
    assert await rollout.evidence(FakeCluster(serving()), ENV, seen_only(deployment(observed=1))) == []
