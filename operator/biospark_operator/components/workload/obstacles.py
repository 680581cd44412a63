"""Says in words what keeps the API's pods from running, and what to do about it. Pure; used by `rollout`.

The kubelet, the scheduler and the admission plugins leave their reasons in the status of pods and of the
Deployment. What they write holds names with random endings, back-off times and ids; a condition has to stay the
same from pass to pass, so only what lasts is passed on.

An obstacle is *lasting* if time alone won't remove it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components.workload.image_pull import PULL_STATES, pull_fault

#: Restarts after which a container that ends is not just unlucky.
CRASH_LOOP_RESTARTS = 3
#: What the scheduler adds about pods that it could evict, and did not.
_PREEMPTION = re.compile(r"(\. no new claims to deallocate,)? preemption:.*$", re.DOTALL)
_CONFIG_STATES = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps pods from running."""

    reason: Reason
    message: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod, with what the kubelet says about it."""

    pod: Manifest
    spec: Mapping[str, Any]
    status: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name in the pod."""
        return str(self.spec["name"])

    @property
    def waiting(self) -> Mapping[str, Any]:
        """Why it does not run: `reason` and `message`; empty if it does."""
        state: Mapping[str, Any] = (self.status.get("state") or {}).get("waiting") or {}
        return state

    @property
    def ended(self) -> Mapping[str, Any]:
        """How it ended the last time: `exitCode`, `reason`; empty if it never did."""
        states = (self.status.get("state") or {}, self.status.get("lastState") or {})
        return next((state["terminated"] for state in states if state.get("terminated")), {})


def obstacle(deployment: Manifest, pods: Sequence[Manifest]) -> Obstacle | None:
    """Return the gravest obstacle, or None if all is as it should be while pods start."""
    containers = [container for pod in pods for container in containers_of(pod)]
    found = [
        *_all(_paused, [deployment]),
        *_all(_refused, [deployment]),
        *_all(_pull, containers),
        *_all(_misconfigured, containers),
        *_all(_crashing, containers),
        *_all(_unscheduled, pods),
        *_all(_not_ready, containers),
    ]
    return found[0] if found else None


def condition(live: Manifest, type_: str, status: str) -> Mapping[str, Any] | None:
    """Return the condition of a Kubernetes object if it has this status."""
    conditions: Sequence[Mapping[str, Any]] = (live.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if (item["type"], item["status"]) == (type_, status)), None)


def containers_of(pod: Manifest) -> Iterator[Container]:
    """Yield the containers that the kubelet has a status of, those that run first (init containers) first."""
    status = pod.get("status") or {}
    for kind in ("initContainer", "container"):
        states = {item["name"]: item for item in status.get(f"{kind}Statuses") or ()}
        for spec in pod["spec"].get(f"{kind}s") or ():
            if spec["name"] in states:
                yield Container(pod, spec, states[spec["name"]])


def _all(rule: Callable[[Any], Obstacle | None], items: Sequence[Any]) -> list[Obstacle]:
    """Return what a rule finds, the lasting ones first and then by text: pods come in no certain order."""
    found = {result for item in items if (result := rule(item)) is not None}
    return sorted(found, key=lambda item: (not item.lasting, item.message))


def _paused(deployment: Manifest) -> Obstacle | None:
    if not deployment["spec"].get("paused"):
        return None
    metadata = deployment["metadata"]
    advice = f"kubectl rollout resume -n {metadata['namespace']} deployment/{metadata['name']}"
    return Obstacle(Reason.ROLLING_OUT, f"somebody paused the rollout; resume it with {advice}", lasting=True)


def _refused(deployment: Manifest) -> Obstacle | None:
    failure = condition(deployment, "ReplicaFailure", "True")
    if failure is None:
        return None
    # `pods "biospark-api-5d9c-x2x4z" is forbidden: <cause>`: the name is another one with every try.
    _, forbidden, cause = str(failure.get("message", "")).partition("is forbidden: ")
    if not forbidden:
        cause = re.sub(r'pods? "[^"]*"', "a pod", str(failure.get("message", "")))
        return Obstacle(Reason.ROLLING_OUT, f"Kubernetes can't create a pod: {stable(cause)}", lasting=False)
    if "exceeded quota" in cause or "failed quota" in cause:
        return Obstacle(
            Reason.QUOTA_EXCEEDED,
            f"no room for another pod: {cause}; raise spec.namespace.quota (Kubernetes tries again within minutes), "
            "or lower spec.api.resources or the number of replicas",
            lasting=True,
        )
    if "violates PodSecurity" in cause:
        advice = "set spec.namespace.podSecurity to a less strict level, or remove what adds this to the pods"
        return Obstacle(Reason.INVALID, f"the namespace admits no pod: {cause}; {advice}", lasting=True)
    return Obstacle(Reason.INVALID, f"an admission policy of the cluster refuses the pods: {cause}", lasting=True)


def _unscheduled(pod: Manifest) -> Obstacle | None:
    refusal = condition(pod, "PodScheduled", "False")
    if refusal is None or refusal.get("reason") != "Unschedulable":
        return None
    words = _PREEMPTION.sub("", str(refusal.get("message", ""))).rstrip(". ")
    return Obstacle(
        Reason.UNSCHEDULABLE, f"no node can take a pod: {words}; add nodes, or lower spec.api.resources", lasting=False
    )


def _pull(container: Container) -> Obstacle | None:
    waiting = container.waiting
    if waiting.get("reason") not in PULL_STATES:
        return None
    image = str(container.spec.get("image", ""))
    fault = pull_fault(image, str(waiting["reason"]), str(waiting.get("message", "")))
    return Obstacle(Reason.IMAGE_PULL_FAILED, f"image {image} {fault.words}", fault.lasting)


def _misconfigured(container: Container) -> Obstacle | None:
    waiting = container.waiting
    if waiting.get("reason") not in _CONFIG_STATES:
        return None
    words = stable(str(waiting.get("message", waiting["reason"])), container.pod)
    return Obstacle(Reason.ROLLING_OUT, f"container {container.name} can't be started: {words}", lasting=False)


def _crashing(container: Container) -> Obstacle | None:
    ended, restarts = container.ended, container.status.get("restartCount", 0)
    if not ended or container.status.get("ready") or not _should_run(container):
        return None
    looping = restarts >= CRASH_LOOP_RESTARTS
    often = "again and again" if looping else "and is started again"
    reason = Reason.CRASH_LOOPING if looping else Reason.ROLLING_OUT
    return Obstacle(reason, f"container {container.name} {_end(container)} {often}; {_advice(container)}", looping)


def _should_run(container: Container) -> bool:
    """Whether an end is a fault: an init container that ended well is done, others should never end."""
    names = {spec["name"] for spec in container.pod["spec"].get("initContainers") or ()}
    return container.name not in names or container.ended.get("exitCode") != 0


def _end(container: Container) -> str:
    if container.ended.get("reason") == "OOMKilled":
        return "uses more memory than its limit and is killed (OOMKilled)"
    code = container.ended.get("exitCode", 0)
    killed = {137: " (killed)", 143: " (terminated)"}.get(code, "")
    return f"ends with exit code {code}{killed}"


def _advice(container: Container) -> str:
    metadata = container.pod["metadata"]
    if container.ended.get("reason") == "OOMKilled":
        return "raise spec.api.resources.limits.memory"
    labels = metadata.get("labels") or {}
    selector = ",".join(f"{key}={labels[key]}" for key in ("app", "pod-template-hash") if key in labels)
    return (
        f"read its log with kubectl logs -n {metadata['namespace']} -l {selector} -c {container.name} "
        "--previous --ignore-errors"
    )


def _not_ready(container: Container) -> Obstacle | None:
    running = (container.status.get("state") or {}).get("running")
    if running is None or container.status.get("ready") or not container.status.get("started"):
        return None
    path = ((container.spec.get("readinessProbe") or {}).get("httpGet") or {}).get("path")
    probe = f"its readiness probe {path} does not succeed" if path else "is not ready"
    return Obstacle(Reason.ROLLING_OUT, f"container {container.name} runs, but {probe}", lasting=False)


def stable(message: str, pod: Manifest | None = None) -> str:
    """Return a message of Kubernetes without what differs from try to try: pod names, ids and times."""
    message = re.sub(r" \(pod: .*, container: [^)]*\)", "", message)
    metadata: Mapping[str, Any] = pod["metadata"] if pod is not None else {}
    for key, word in (("uid", "<uid>"), ("name", "<pod>")):
        if metadata.get(key):
            message = message.replace(str(metadata[key]), word)
    message = re.sub(r"\b[0-9a-f]{12,}\b", "<id>", message)
    return re.sub(r"\b\d+(m\d+)?(\.\d+)?(s|ms)\b", "<time>", message)
