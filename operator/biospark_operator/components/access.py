"""Who may do what in the namespace: the API's ServiceAccount, three Roles, and a RoleBinding per role in use.

Whoever has one of them may also read the environment itself, and no other. It is in no namespace, so this takes a
ClusterRole of its own, which exists while somebody has it.

The Roles exist always, so that subjects can also be bound from elsewhere. The API server lets nobody grant what
they don't hold themselves, so the operator's own ClusterRole has to cover `GRANTED_RULES`; a wildcard is never
granted.

A Viewer reads everything but Secrets. A Developer changes workloads and may enter pods; a pod may mount any
Secret of its namespace, so keeping the verbs on Secrets from a Developer prevents accidents, not intent. An
Admin also changes Secrets, routes and access rights. Nobody changes the quota nor the network policies: they are the
environment's, where the limits of the platform hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from biospark_operator.api.v1alpha1.access import AccessBinding, AccessRole, Subject, SubjectKind
from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.environment import GROUP as ENVIRONMENTS
from biospark_operator.api.v1alpha1.environment import PLURAL
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components import namespace
from biospark_operator.components.names import API, PULL_SECRET
from biospark_operator.engine.component import Environment
from biospark_operator.objects import kinds
from biospark_operator.objects.component import Cluster, ObjectsComponent, Strangers
from biospark_operator.objects.manifest import cluster_scoped, namespaced

NAME = "access"
GROUP = "rbac.authorization.k8s.io"
#: What names of the ClusterRoles begin with. The chart's admission policy lets the operator write no others.
ENVIRONMENT_ROLE_PREFIX = "biospark-environment-"
Rule = Mapping[str, Sequence[str]]


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> Rule:
    return {"apiGroups": [group], "resources": sorted(resources), "verbs": list(verbs)}


_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")

VIEWER_RULES: Sequence[Rule] = (
    _rule(
        "",
        (
            "configmaps", "endpoints", "events", "limitranges", "persistentvolumeclaims", "pods", "resourcequotas",
            "serviceaccounts", "services",
        ),
        _READ,
    ),
    _rule("", ("pods/log",), ("get",)),
    _rule("apps", ("daemonsets", "deployments", "replicasets", "statefulsets"), _READ),
    _rule("autoscaling", ("horizontalpodautoscalers",), _READ),
    _rule("batch", ("cronjobs", "jobs"), _READ),
    _rule("discovery.k8s.io", ("endpointslices",), _READ),
    _rule("events.k8s.io", ("events",), _READ),
    _rule("metrics.k8s.io", ("pods",), ("get", "list")),
    _rule("networking.k8s.io", ("ingresses", "networkpolicies"), _READ),
    _rule("policy", ("poddisruptionbudgets",), _READ),
    _rule(GROUP, ("rolebindings", "roles"), _READ),
)  # fmt: skip
"""Read everything but Secrets."""

DEVELOPER_RULES: Sequence[Rule] = (
    *VIEWER_RULES,
    _rule("", ("configmaps", "persistentvolumeclaims", "pods", "services"), _WRITE),
    # kubectl opens these with GET where it speaks WebSocket and with POST where it speaks SPDY.
    _rule("", ("pods/exec", "pods/portforward"), ("create", "get")),
    _rule("", ("pods/eviction",), ("create",)),
    _rule("", ("pods/ephemeralcontainers",), ("patch", "update")),
    _rule("apps", ("daemonsets", "deployments", "statefulsets"), _WRITE),
    _rule("apps", ("deployments/scale", "statefulsets/scale"), ("get", "patch", "update")),
    _rule("autoscaling", ("horizontalpodautoscalers",), _WRITE),
    _rule("batch", ("cronjobs", "jobs"), _WRITE),
)
"""Also change workloads. What the operator made is put back as the environment says."""

ADMIN_RULES: Sequence[Rule] = (
    *DEVELOPER_RULES,
    _rule("", ("secrets",), (*_READ, *_WRITE)),
    _rule("", ("serviceaccounts",), _WRITE),
    _rule("networking.k8s.io", ("ingresses",), _WRITE),
    _rule("policy", ("poddisruptionbudgets",), _WRITE),
    _rule(GROUP, ("rolebindings", "roles"), _WRITE),
)
"""Also change Secrets, routes and access rights, these only as far as they reach themselves."""

RULES: Mapping[AccessRole, Sequence[Rule]] = MappingProxyType(
    {
        AccessRole.VIEWER: VIEWER_RULES,
        AccessRole.DEVELOPER: DEVELOPER_RULES,
        AccessRole.ADMIN: ADMIN_RULES,
    }
)
GRANTED_RULES: Sequence[Rule] = ADMIN_RULES
"""Everything that any role grants, which the operator has to hold itself: each role contains the one before."""


def component(cluster: Cluster) -> ObjectsComponent:
    """Return the component."""
    return ObjectsComponent(
        name=NAME,
        condition=ConditionType.ACCESS_READY,
        cluster=cluster,
        build=build,
        kinds=frozenset(
            {kinds.SERVICE_ACCOUNT, kinds.ROLE, kinds.ROLE_BINDING, kinds.CLUSTER_ROLE, kinds.CLUSTER_ROLE_BINDING}
        ),
        requires=frozenset({namespace.NAME}),
        strangers=Strangers(f"{GROUP}/v1", "RoleBinding", _grants, "granted", "spec.access.bindings"),
    )


def build(env: Environment) -> Sequence[Manifest]:
    """Return the ServiceAccount, the Roles, and a RoleBinding for each role that somebody has."""
    roles = [namespaced(env, f"{GROUP}/v1", "Role", _name(role), rules=list(RULES[role])) for role in AccessRole]
    bindings = (_binding(env, binding) for binding in env.spec.access.bindings)
    return [_service_account(env), *roles, *bindings, *_environment_itself(env)]


def _environment_itself(env: Environment) -> Sequence[Manifest]:
    subjects: list[dict[str, str]] = []
    for binding in env.spec.access.bindings:
        subjects += [found for found in map(_subject, binding.subjects) if found not in subjects]
    if not subjects:
        return []
    name = f"{ENVIRONMENT_ROLE_PREFIX}{env.name}"
    # By name `list` and `watch` are allowed with the field selector that `kubectl wait` and `kubectl get -w` set.
    rule = {**_rule(ENVIRONMENTS, (PLURAL,), _READ), "resourceNames": [env.name]}
    role_ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
    return [
        cluster_scoped(f"{GROUP}/v1", "ClusterRole", name, rules=[rule]),
        cluster_scoped(f"{GROUP}/v1", "ClusterRoleBinding", name, roleRef=role_ref, subjects=subjects),
    ]


def _grants(binding: Manifest) -> bool:
    return bool(binding.get("subjects"))


def _name(role: AccessRole) -> str:
    return f"biospark-{role.lower()}"


def _service_account(env: Environment) -> Manifest:
    content: dict[str, Any] = {"automountServiceAccountToken": False}
    if env.spec.registry.pull_secret_name is not None:
        content["imagePullSecrets"] = [{"name": PULL_SECRET}]
    return namespaced(env, "v1", "ServiceAccount", API, **content)


def _binding(env: Environment, binding: AccessBinding) -> Manifest:
    return namespaced(
        env,
        f"{GROUP}/v1",
        "RoleBinding",
        _name(binding.role),
        roleRef={"apiGroup": GROUP, "kind": "Role", "name": _name(binding.role)},
        subjects=[_subject(subject) for subject in binding.subjects],
    )


def _subject(subject: Subject) -> dict[str, str]:
    where = (
        {"namespace": subject.namespace or ""} if subject.kind is SubjectKind.SERVICE_ACCOUNT else {"apiGroup": GROUP}
    )
    return {"kind": subject.kind.value, "name": subject.name, **where}
