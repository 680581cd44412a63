"""The image pull secret: a copy of one Secret of the operator's namespace, followed when that changes.

The source is read in the operator's own namespace alone, and has to say that this environment may have it (see
`outside`), so nobody gets at foreign Secrets by naming them in an environment. What is copied is checked first: a
node would only say that it can't pull.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components import namespace, outside
from biospark_operator.components.names import PULL_SECRET
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked
from biospark_operator.objects import kinds, secret_data
from biospark_operator.objects.component import Cluster, ObjectsComponent
from biospark_operator.objects.manifest import namespaced

NAME = "registry"
TYPE, KEY = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"


def component(cluster: Cluster, operator_namespace: str) -> ObjectsComponent:
    """Return the component, which copies from `operator_namespace`."""

    def source(env: Environment) -> ObjectRef:
        return ObjectRef("v1", "Secret", operator_namespace, env.spec.registry.pull_secret_name or "")

    def fill(
        env: Environment, manifest: Manifest, live: Manifest | None, sources: Mapping[ObjectRef, Manifest]
    ) -> Manifest:
        secret = sources.get(source(env))
        if secret is None or refused(source(env), secret, env.name) is not None:
            return {**manifest, "data": {}}
        return {**manifest, "data": {KEY: secret["data"][KEY]}}

    return ObjectsComponent(
        name=NAME,
        condition=ConditionType.REGISTRY_READY,
        cluster=cluster,
        build=build,
        kinds=frozenset({kinds.SECRET}),
        requires=frozenset({namespace.NAME}),
        when=lambda env: env.spec.registry.pull_secret_name is not None,
        sources=lambda env: [source(env)],
        fill=fill,
        refusal=lambda env, seen: refused(source(env), seen.sources.get(source(env)), env.name),
    )


def build(env: Environment) -> Sequence[Manifest]:
    """Return the Secret without its data, which are no part of the environment."""
    return [namespaced(env, "v1", "Secret", PULL_SECRET, type=TYPE)]


def refused(source: ObjectRef, secret: Manifest | None, environment: str) -> Blocked | None:
    """Say why the credentials of a Secret can't be used in an environment, or None where they can."""
    if secret is None:
        return Blocked(
            Reason.PULL_SECRET_NOT_FOUND,
            f"{source.short} does not exist; create it with kubectl create secret docker-registry {source.name} "
            f"-n {source.namespace}, or correct spec.registry.pullSecretRef",
        )
    if (why := outside.not_for_environment(secret, "spec.registry.pullSecretRef", environment)) is not None:
        return Blocked(Reason.SECRET_USE_REFUSED, why)
    if secret.get("type") != TYPE:
        return _invalid(source, f"has not the type {TYPE}")
    if not (secret.get("data") or {}).get(KEY):
        return _invalid(source, f"has no key {KEY}")
    if not _has_registries(secret_data.values(secret).get(KEY, b"")):
        return _invalid(source, f"has no credentials for any registry below auths in its key {KEY}")
    return None


def _invalid(source: ObjectRef, fault: str) -> Blocked:
    return Blocked(
        Reason.PULL_SECRET_INVALID,
        f"{source.short} (spec.registry.pullSecretRef) {fault}; recreate it with "
        f"kubectl create secret docker-registry {source.name} -n {source.namespace}",
    )


def _has_registries(text: bytes) -> bool:
    try:
        config = json.loads(text)
    except ValueError:
        return False
    auths = config.get("auths") if isinstance(config, dict) else None
    return isinstance(auths, dict) and bool(auths)
