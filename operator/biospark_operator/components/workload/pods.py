"""What a pod of the API looks like: its container, probes and rights. Pure; used by `component`.

It fits the Pod Security level Restricted, whatever level the namespace enforces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biospark_operator.api.platform import Platform, TopologySpreadConstraint
from biospark_operator.api.v1alpha1.model import Model
from biospark_operator.components.names import API, API_LABELS, API_PORT, METRICS_PORT
from biospark_operator.components.workload.settings import MOUNTED, settings
from biospark_operator.engine.component import Environment
from biospark_operator.objects import ownership

CONTAINER = "api"
_NODE = "kubernetes.io/hostname"
#: Of files with secrets: the group of the pod reads them, and nobody else.
SECRET_MODE = 0o440
#: Seconds between the end of the API's own shutdown and the kill.
MARGIN = 5


def pod_template(env: Environment, platform: Platform, component: str) -> dict[str, Any]:
    """Return the template of the Deployment; `component` is the name of the component it belongs to."""
    spec = {
        "serviceAccountName": API,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": platform.drain_seconds + platform.shutdown_seconds + MARGIN,
        "securityContext": _pod_security_context(platform),
        "containers": [_container(env, platform)],
        "volumes": _volumes(env),
    }
    if platform.priority_class_name:
        spec["priorityClassName"] = platform.priority_class_name
    if platform.node_selector:
        spec["nodeSelector"] = platform.node_selector
    if platform.tolerations:
        spec["tolerations"] = [_written(toleration) for toleration in platform.tolerations]
    if spread := _spread(env, platform):
        spec["topologySpreadConstraints"] = spread
    return {"metadata": {"labels": {**ownership.labels(env, component), **API_LABELS}}, "spec": spec}


def _volumes(env: Environment) -> list[dict[str, Any]]:
    secrets = [
        {"name": _volume(path), "secret": {"secretName": name, "defaultMode": SECRET_MODE}}
        for path, name in _mounted(env).items()
    ]
    return [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}, *secrets]


def _mounts(env: Environment) -> list[dict[str, Any]]:
    # Whole folders: a file alone would stay as it was when its Secret changes.
    secrets = [{"name": _volume(path), "mountPath": path, "readOnly": True} for path in _mounted(env)]
    return [{"name": "tmp", "mountPath": "/tmp"}, *secrets]  # noqa: S108 - a path in the container


def _mounted(env: Environment) -> Mapping[str, str]:
    return {} if env.spec.database.server is None else MOUNTED


def _volume(path: str) -> str:
    return path.rpartition("/")[2]


def _container(env: Environment, platform: Platform) -> dict[str, Any]:
    resources = env.spec.api.resources
    return {
        "name": CONTAINER,
        # Empty where none is set: `workload` says so instead of applying it.
        "image": env.spec.api.image or "",
        "imagePullPolicy": platform.image_pull_policy.value,
        # What the image says; said here, or another program that somebody sets would not be ours to take away.
        "command": [],
        "args": [],
        "env": [{"name": f"BIOSPARK_{name}", "value": value} for name, value in settings(env, platform).items()],
        "ports": [
            {"name": "http", "containerPort": API_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        # Alive and started are the same question: does the process answer? Started allows for 60 s of start.
        "startupProbe": _probe("/healthz", period=1, failures=60),
        "livenessProbe": _probe("/healthz", period=10, failures=3),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        "resources": {"requests": dict(resources.requests), "limits": dict(resources.limits)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": _mounts(env),
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 3,
    }


def _pod_security_context(platform: Platform) -> dict[str, Any]:
    assigned = _written(platform.pod_security_context)
    return {"runAsNonRoot": True, **assigned, "seccompProfile": {"type": "RuntimeDefault"}}


def _spread(env: Environment, platform: Platform) -> list[dict[str, Any]]:
    wanted = [*platform.topology_spread_constraints]
    if env.spec.api.spread and not any(constraint.topology_key == _NODE for constraint in wanted):
        # A wish, since a cluster with too few nodes should still run all.
        wanted.append(TopologySpreadConstraint(topology_key=_NODE))
    selected = {"labelSelector": {"matchLabels": API_LABELS}, "matchLabelKeys": ["pod-template-hash"]}
    return [{**_written(constraint), **selected} for constraint in wanted]


def _written(setting: Model) -> dict[str, Any]:
    """Return a setting that has the form of Kubernetes' own, as it stands in a pod."""
    return setting.model_dump(mode="json", by_alias=True, exclude_none=True)
