"""The API service: Deployment, Service, and where asked for an autoscaler and a disruption budget.

Settings of the API are environment variables of the pods, so changing one rolls the pods by itself. How
far a rollout is, and what stands in its way, is said by `rollout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.workload import Autoscaling
from biospark_operator.clients.kubernetes.client import FIELD_MANAGER
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components import access, network, pull_secret, schema
from biospark_operator.components.handover import DATABASE_LOGIN
from biospark_operator.components.names import API, API_LABELS
from biospark_operator.components.secrets import component as secrets
from biospark_operator.components.secrets.store import CredentialStore
from biospark_operator.components.workload import exposure, rollout
from biospark_operator.components.workload.pods import pod_template
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked, Outcome, Ready
from biospark_operator.objects import drift, kinds
from biospark_operator.objects.component import Cluster, ObjectsComponent, Seen
from biospark_operator.objects.manifest import namespaced

NAME = "workload"
#: Seconds without progress after which a rollout needs a human.
PROGRESS_DEADLINE = 300
WITHOUT_DATABASE = (
    "nobody can log in, because the environment has no database: set spec.database.server, or platform.database in "
    "the operator's settings"
)


def component(cluster: Cluster, platform: Platform, store: CredentialStore) -> ObjectsComponent:
    """Return the component."""

    def fill(
        env: Environment, manifest: Manifest, live: Manifest | None, sources: Mapping[ObjectRef, Manifest]
    ) -> Manifest:
        if manifest["kind"] != "Deployment":
            return manifest
        if env.spec.api.autoscaling is None:
            return manifest
        replicas = replicas_until_scaled(env, live)
        return manifest if replicas is None else with_replicas(manifest, replicas)

    async def receive(env: Environment, manifest: Manifest) -> Manifest:
        if manifest["kind"] != "Deployment" or env.spec.database.server is None:
            return manifest
        return await DATABASE_LOGIN.taken(store, env, manifest)

    return ObjectsComponent(
        name=NAME,
        condition=ConditionType.WORKLOAD_READY,
        cluster=cluster,
        build=lambda env: build(env, platform),
        kinds=frozenset(
            {
                kinds.SERVICE,
                kinds.DEPLOYMENT,
                kinds.HORIZONTAL_POD_AUTOSCALER,
                kinds.POD_DISRUPTION_BUDGET,
                # Why the Deployment is not ready.
                kinds.REPLICA_SET,
                kinds.POD,
            }
        ),
        requires=frozenset({access.NAME, network.NAME, pull_secret.NAME, schema.NAME, secrets.NAME}),
        fill=fill,
        receive=receive,
        refusal=refusal,
        evidence=lambda env, seen: rollout.evidence(cluster, env, seen),
        assess=assess,
        tell=tell,
        routine=DATABASE_LOGIN.is_its_field,
    )


def build(env: Environment, platform: Platform) -> Sequence[Manifest]:
    """Return the objects; the Deployment says its number of replicas only where nothing else decides it."""
    api = env.spec.api
    deployment = _deployment(env, platform)
    manifests = [_service(env), deployment if api.autoscaling else with_replicas(deployment, api.replicas)]
    if api.autoscaling:
        manifests.append(_autoscaler(env, api.autoscaling))
    if api.pod_disruption_budget:
        manifests.append(_disruption_budget(env))
    return manifests


def refusal(env: Environment, seen: Seen) -> Blocked | None:
    """Say what the API can't run without, or None where there is all of it."""
    if env.spec.api.image is None:
        message = "there is no image of the API; set spec.api.image, or platform.apiImage in the operator's settings"
        return Blocked(Reason.PLATFORM_SETTING_MISSING, message)
    return None


def assess(env: Environment, seen: Seen) -> Outcome:
    """Say how far the API is, and first of all whether its secrets are read by others."""
    (ref,) = (ref for ref in seen.desired if ref.kind == "Deployment")
    live = seen.live.get(ref)
    if live is not None and (readers := exposure.foreign_readers(seen.desired[ref], live)):
        return Blocked(Reason.SECRETS_EXPOSED, readers)
    outcome = rollout.assess(env, seen)
    if isinstance(outcome, Ready) and env.spec.database.server is None:
        return replace(outcome, remark=WITHOUT_DATABASE)
    return outcome


def tell(env: Environment, seen: Seen) -> Mapping[str, Any]:
    """Report where the API answers."""
    public = {"public": f"https://{env.spec.host}"} if env.spec.host else {}
    return {"endpoints": {**public, "internal": f"http://{API}.{env.spec.namespace.name}.svc"}}


def replicas_until_scaled(env: Environment, live: Manifest | None) -> int | None:
    """Return the replicas to apply beside an autoscaler, or None once it decides them.

    A field that we applied and leave out falls back to its default: turning autoscaling on would take a
    Deployment down to one replica. So the field stays ours, at its value, until the autoscaler first writes it.
    """
    if live is None:
        return env.spec.api.replicas
    ours = "f:replicas" in drift.applied_fields(live, FIELD_MANAGER).get("f:spec", {})
    replicas: int | None = live["spec"].get("replicas") if ours else None
    return replicas


def with_replicas(deployment: Manifest, replicas: int) -> Manifest:
    """Return the Deployment with a number of replicas."""
    return {**deployment, "spec": {**deployment["spec"], "replicas": replicas}}


def _deployment(env: Environment, platform: Platform) -> Manifest:
    spec = {
        "selector": {"matchLabels": API_LABELS},
        # The new replica has to be ready before an old one goes: the quota of every profile has room for it.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "minReadySeconds": 3,
        "progressDeadlineSeconds": PROGRESS_DEADLINE,
        "revisionHistoryLimit": 3,
        "template": pod_template(env, platform, NAME),
    }
    return namespaced(env, "apps/v1", "Deployment", API, spec=spec)


def _service(env: Environment) -> Manifest:
    ports = [
        {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
        {"name": "metrics", "port": 9090, "targetPort": "metrics", "protocol": "TCP"},
    ]
    # What is not said is not ours, and whoever sets it opens the API to the outside.
    closed = {"type": "ClusterIP", "externalIPs": []}
    spec = {**closed, "ipFamilyPolicy": "PreferDualStack", "selector": API_LABELS, "ports": ports}
    return namespaced(env, "v1", "Service", API, spec=spec)


def _autoscaler(env: Environment, wanted: Autoscaling) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": wanted.target_cpu_percent}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": API},
        "minReplicas": wanted.min_replicas,
        "maxReplicas": wanted.max_replicas,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return namespaced(env, "autoscaling/v2", "HorizontalPodAutoscaler", API, spec=spec)


def _disruption_budget(env: Environment) -> Manifest:
    # Pods that don't work anyway must not keep a node from being drained.
    spec = {
        "selector": {"matchLabels": API_LABELS},
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return namespaced(env, "policy/v1", "PodDisruptionBudget", API, spec=spec)
