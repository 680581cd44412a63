"""Deployments, ReplicaSets and pods as Kubernetes 1.35 reports them in the middle of rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biospark_operator.clients.kubernetes.objects import Manifest

NAMESPACE, IMAGE = "biospark-dev", "registry.example/biospark/api:1"
OLD, NEW = "5d9c7b8f6d", "7f6b5c4d9"


def deployment(
    *,
    replicas: int = 1,
    updated: int = 1,
    available: int = 0,
    total: int | None = None,
    conditions: Mapping[str, tuple[str, str, str]] | None = None,
    observed: int = 2,
    **spec: Any,
) -> Manifest:
    """Return the Deployment at generation 2; `conditions` are {type: (status, reason, message)}."""
    found = {"Progressing": ("True", "ReplicaSetUpdated", "…"), **(conditions or {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "biospark-api",
            "namespace": NAMESPACE,
            "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": replicas, **spec},
        "status": {
            "observedGeneration": observed,
            "replicas": updated if total is None else total,
            "updatedReplicas": updated,
            "availableReplicas": available,
            "conditions": [
                {"type": type_, "status": status, "reason": reason, "message": message}
                for type_, (status, reason, message) in found.items()
            ],
        },
    }


def gave_up() -> dict[str, tuple[str, str, str]]:
    """The condition of a rollout that Kubernetes does not expect to end any more."""
    message = f'ReplicaSet "biospark-api-{NEW}" has timed out progressing.'
    return {"Progressing": ("False", "ProgressDeadlineExceeded", message)}


def refused(message: str) -> dict[str, tuple[str, str, str]]:
    """The condition of a Deployment whose pods can't be created."""
    return {"ReplicaFailure": ("True", "FailedCreate", message)}


def replica_set(version: str, revision: int) -> Manifest:
    """Return the ReplicaSet of a version."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"biospark-api-{version}",
            "namespace": NAMESPACE,
            "labels": {"app": "biospark", "pod-template-hash": version},
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
        },
    }


VERSIONS = (replica_set(OLD, 1), replica_set(NEW, 2))


def pod(
    state: Mapping[str, Any] | None = None,
    *,
    version: str = NEW,
    suffix: str = "x2x4z",
    last: Mapping[str, Any] | None = None,
    restarts: int = 0,
    started: bool = False,
    ready: bool = False,
    scheduled: Mapping[str, Any] | None = None,
    image: str = IMAGE,
    metadata: Mapping[str, Any] | None = None,
) -> Manifest:
    """Return a pod whose container is in `state`; without one the kubelet has not seen it yet."""
    conditions: list[Mapping[str, Any]] = [{"type": "Ready", "status": str(ready)}]
    conditions.append({"type": "PodScheduled", "status": "True", **(scheduled or {})})
    status: dict[str, Any] = {"phase": "Running" if ready else "Pending", "conditions": conditions}
    if state is not None:
        container = {
            "name": "api",
            "image": image,
            "state": state,
            "lastState": {"terminated": last} if last else {},
            "restartCount": restarts,
            "started": started,
            "ready": ready,
        }
        status["containerStatuses"] = [container]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"biospark-api-{version}-{suffix}",
            "namespace": NAMESPACE,
            "uid": "0b1e6a52-7ad5-4d5f-9e0c-3f4cf5f4b7a1",
            "labels": {"app": "biospark", "pod-template-hash": version},
            **(metadata or {}),
        },
        "spec": {"containers": [{"name": "api", "image": image, "readinessProbe": {"httpGet": {"path": "/readyz"}}}]},
        "status": status,
    }


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def serving(version: str = OLD, suffix: str = "aaaaa") -> Manifest:
    """Return a pod that works."""
    return pod(RUNNING, version=version, suffix=suffix, started=True, ready=True)


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """Return the state of a container that the kubelet can't run."""
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    """Return how a container ended."""
    return {"exitCode": code, "reason": reason, "containerID": "containerd://8f1c2d3e4f5a6b7c8d9e"}
