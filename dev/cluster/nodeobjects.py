"""Kubernetes objects that the node's programs need: rights, and the API of metrics-server. Pure functions."""

from __future__ import annotations

import base64
from typing import Any

from dev.cluster.api import Manifest
from dev.cluster.controlplane import binding
from dev.cluster.instance import Instance
from dev.cluster.nodeconfig import METRICS_PORT

RBAC = "rbac.authorization.k8s.io"
READ = ("get", "list", "watch")


def manifests(instance: Instance) -> list[Manifest]:
    """Everything, in an order in which it can be applied."""
    return [
        _role(
            "coredns", ("", ("endpoints", "services", "pods", "namespaces")), ("discovery.k8s.io", ("endpointslices",))
        ),
        binding("coredns", role="biospark-dev:coredns", user="system:coredns"),
        binding("kube-proxy", role="system:node-proxier", user="system:kube-proxy"),
        _role("metrics-server", ("", ("pods", "nodes", "nodes/metrics"))),
        binding("metrics-server", role="biospark-dev:metrics-server", user="system:metrics-server"),
        binding("metrics-server-delegator", role="system:auth-delegator", user="system:metrics-server"),
        _authentication_reader(),
        *selectorless_service("metrics-server", "kube-system", instance.node_address, METRICS_PORT, port=443),
        _metrics_api((instance.pki / "ca.crt").read_bytes()),
    ]


def selectorless_service(name: str, namespace: str, address: str, target: int, port: int) -> list[Manifest]:
    """A Service for a program outside the cluster, listening at `address` on port `target`."""
    place = {"name": name, "namespace": namespace}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"ports": [{"name": "main", "port": port, "targetPort": target}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**place, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "main", "port": target, "protocol": "TCP"}],
        },
    ]


def _role(name: str, *readable: tuple[str, tuple[str, ...]]) -> Manifest:
    rules = [{"apiGroups": [group], "resources": list(kinds), "verbs": list(READ)} for group, kinds in readable]
    metadata = {"name": f"biospark-dev:{name}"}
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}


def _authentication_reader() -> Manifest:
    role = "extension-apiserver-authentication-reader"
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "biospark-dev:metrics-server", "namespace": "kube-system"},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "system:metrics-server"}],
    }


def _metrics_api(authority: bytes) -> Manifest:
    spec: dict[str, Any] = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "caBundle": base64.b64encode(authority).decode(),
        "service": {"name": "metrics-server", "namespace": "kube-system"},
    }
    metadata = {"name": "v1beta1.metrics.k8s.io"}
    return {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec}
