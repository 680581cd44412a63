"""Finds out whether an environment is deleted with orphan propagation, by what the garbage collector does to a trace.

`kubectl delete --cascade=orphan` sets the finalizer `orphan`, which the garbage collector takes off as soon as it has
taken the owner off all that the environment owns. That may happen while no operator runs. So each environment owns one
object, a Role that grants nothing, in the namespace of the operator. What became of it tells which deletion it was:

- its owner reference is gone: orphan propagation;
- it is gone, or still owned: foreground or background propagation.

It is the only thing that an environment owns. While it lasts, its owner reference is put back where somebody took it
off, but never once the environment is being deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biospark_operator.api.v1alpha1.environment import API_VERSION, KIND
from biospark_operator.clients.kubernetes.children import Children
from biospark_operator.clients.kubernetes.client import KubernetesClient
from biospark_operator.clients.kubernetes.objects import NEVER, Manifest, ObjectRef
from biospark_operator.engine.errors import RejectedError
from biospark_operator.objects.ownership import CREATED_FOR, ENVIRONMENT_LABEL, MANAGED_BY, MANAGED_BY_LABEL

RBAC = "rbac.authorization.k8s.io/v1"
#: By which the garbage collector remembers that it was asked to orphan.
ORPHAN_FINALIZER = "orphan"
PURPOSE = "biospark.ai/purpose"


@dataclass(frozen=True)
class OrphaningTrace:
    """Satisfies `engine.passes.Orphaning`. `namespace` is that of the operator."""

    children: Children | KubernetesClient
    client: KubernetesClient
    namespace: str

    async def prepare(self, body: Manifest) -> None:
        """Make the trace, or have the environment own it again. Nothing is sent where all is well."""
        ref, uid = self._ref(body), body["metadata"]["uid"]
        trace = await self.children.get(ref)
        if trace is not None and _is_owned(trace, uid):
            return
        if trace is not None and not _is_ours(trace):
            raise RejectedError(f"{ref.short} exists and is not the operator's; delete or rename it")
        # Read after the trace: who orphaned it had begun to delete the environment before.
        now = await self.client.get(ObjectRef(API_VERSION, KIND, None, body["metadata"]["name"]))
        if now is None or now["metadata"]["uid"] != uid or "deletionTimestamp" in now["metadata"]:
            return
        on = {"resourceVersion": NEVER if trace is None else trace["metadata"]["resourceVersion"]}
        await self.children.apply(_manifest(ref, body, on), force=True)

    async def asked(self, body: Manifest) -> bool:
        """Whether the environment is deleted with orphan propagation. Asks the API server, not what is remembered."""
        if ORPHAN_FINALIZER in (body["metadata"].get("finalizers") or ()):
            return True
        trace = await self.client.get(self._ref(body))
        if trace is None or not _is_ours(trace):
            return False
        notes = trace["metadata"].get("annotations") or {}
        return notes.get(CREATED_FOR) == body["metadata"]["uid"] and not trace["metadata"].get("ownerReferences")

    async def settle(self, body: Manifest) -> None:
        """Delete the trace."""
        ref = self._ref(body)
        trace = await self.client.get(ref)
        if trace is not None and _is_ours(trace):
            await self.children.delete(ref, uid=trace["metadata"]["uid"])

    def _ref(self, body: Manifest) -> ObjectRef:
        return ObjectRef(RBAC, "Role", self.namespace, f"biospark-environment-{body['metadata']['name']}")


def _manifest(ref: ObjectRef, body: Manifest, on: dict[str, str]) -> Manifest:
    name, uid = body["metadata"]["name"], body["metadata"]["uid"]
    metadata: dict[str, Any] = {
        "name": ref.name,
        "namespace": ref.namespace,
        "labels": {MANAGED_BY_LABEL: MANAGED_BY, ENVIRONMENT_LABEL: name},
        "annotations": {
            CREATED_FOR: uid,
            PURPOSE: "grants nothing; by its owner reference the operator sees whether the environment is deleted with "
            "--cascade=orphan",
        },
        # It must not hold up a deletion in the foreground.
        "ownerReferences": [
            {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": uid, "blockOwnerDeletion": False}
        ],
    }
    return {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": {**metadata, **on}, "rules": []}


def _is_ours(trace: Manifest) -> bool:
    return (trace["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGED_BY


def _is_owned(trace: Manifest, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in trace["metadata"].get("ownerReferences") or ())
