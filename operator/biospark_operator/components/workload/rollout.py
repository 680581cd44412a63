"""How far the rollout of the API is: ready, on its way, or in need of a human. Used by `component`.

A rollout that is not done is explained from the pods of its new version (`obstacles` has the words). A rollout
that Kubernetes itself has given up needs a human, whatever the cause. As long as pods of the previous version
serve, the message says so: that tells a broken rollout from an outage.
"""

from __future__ import annotations

from collections.abc import Sequence

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components.names import API, API_SELECTOR
from biospark_operator.components.workload import obstacles
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked, Outcome, Progressing, Ready
from biospark_operator.objects import readiness
from biospark_operator.objects.component import POLL, Cluster, Seen

#: Seconds between looks at a rollout with a known obstacle. Changes of the Deployment wake us at once.
OBSTACLE_POLL = 15.0
REVISION = "deployment.kubernetes.io/revision"
TEMPLATE_HASH = "pod-template-hash"


async def evidence(cluster: Cluster, env: Environment, seen: Seen) -> Sequence[Manifest]:
    """Read the API's pods and ReplicaSets, once they can be those of the Deployment as it is."""
    if _is_unobserved(_deployment(seen)):
        return []
    place = env.spec.namespace.name
    replica_sets = await cluster.list("apps/v1", "ReplicaSet", namespace=place, labels=API_SELECTOR)
    return [*replica_sets, *await cluster.list("v1", "Pod", namespace=place, labels=API_SELECTOR)]


def assess(env: Environment, seen: Seen) -> Outcome:
    """Say how far the API is. Pure."""
    for ref in seen.desired:
        if ref not in seen.live:
            return Progressing(Reason.ROLLING_OUT, f"{ref.short} does not exist yet", POLL)
    deployment = _deployment(seen)
    why = readiness.unready(deployment)
    if why is None:
        return Ready(Reason.SUCCEEDED, f"all pods of Deployment {_path(env)} are ready")
    if _is_unobserved(deployment):
        return Progressing(Reason.ROLLING_OUT, f"Deployment {_path(env)}: {why}", POLL)
    return _unfinished(env, deployment, seen.evidence, why)


def _unfinished(env: Environment, deployment: Manifest, evidence: Sequence[Manifest], why: str) -> Outcome:
    new, old = _by_version(deployment, evidence)
    given_up = obstacles.condition(deployment, "Progressing", "False") is not None
    obstacle = obstacles.obstacle(deployment, new)
    if obstacle is None:
        message = f"Deployment {_path(env)}: {why}{_serving(old)}"
        if not given_up:
            return Progressing(Reason.ROLLING_OUT, message, POLL)
        look = f"look at its pods with kubectl describe pods -n {env.spec.namespace.name} -l {API_SELECTOR}"
        return Blocked(Reason.PROGRESS_DEADLINE_EXCEEDED, f"{message}; it makes no progress: {look}")
    message = f"{obstacle.message}{_serving(old)}"
    if obstacle.lasting:
        return Blocked(obstacle.reason, message)
    if given_up:
        lasting = Reason.PROGRESS_DEADLINE_EXCEEDED if obstacle.reason is Reason.ROLLING_OUT else obstacle.reason
        return Blocked(lasting, message)
    return Progressing(obstacle.reason, message, OBSTACLE_POLL)


def _deployment(seen: Seen) -> Manifest:
    return next(live for live in seen.live.values() if live["kind"] == "Deployment")


def _is_unobserved(deployment: Manifest) -> bool:
    """Whether the status is still that of an earlier specification, so that it explains nothing."""
    observed = (deployment.get("status") or {}).get("observedGeneration", 0)
    return bool(observed < deployment["metadata"].get("generation", 0))


def _by_version(deployment: Manifest, evidence: Sequence[Manifest]) -> tuple[list[Manifest], list[Manifest]]:
    """Return the pods of the new version and those of earlier ones; both without pods that are on their way out."""
    pods = [pod for pod in evidence if pod["kind"] == "Pod" and not _is_leaving(pod)]
    revision = (deployment["metadata"].get("annotations") or {}).get(REVISION)
    hashes = {
        item["metadata"]["labels"].get(TEMPLATE_HASH)
        for item in evidence
        if item["kind"] == "ReplicaSet" and (item["metadata"].get("annotations") or {}).get(REVISION) == revision
    }
    new = [pod for pod in pods if pod["metadata"]["labels"].get(TEMPLATE_HASH) in hashes]
    return new, [pod for pod in pods if pod not in new]


def _is_leaving(pod: Manifest) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return "deletionTimestamp" in pod["metadata"] or phase in ("Succeeded", "Failed")


def _serving(old: Sequence[Manifest]) -> str:
    ready = sum(obstacles.condition(pod, "Ready", "True") is not None for pod in old)
    return f"; {ready} of {len(old)} pods of the previous version still serve" if ready else ""


def _path(env: Environment) -> str:
    return f"{env.spec.namespace.name}/{API}"
