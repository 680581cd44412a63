"""Environments as the API server keeps them: the engine's `Store`."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.environment import API_VERSION, KIND
from biospark_operator.clients.kubernetes.client import KubernetesClient
from biospark_operator.clients.kubernetes.event_manifest import event_manifest
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.engine.errors import OutsideError
from biospark_operator.engine.events import Event
from biospark_operator.engine.shares import Part, combined, equal, own
from biospark_operator.runtime import metrics

logger = logging.getLogger(__name__)


class KubernetesStore:
    """Reads resources, writes their status by server-side apply and records Events on them."""

    def __init__(self, client: KubernetesClient, reporter: str) -> None:
        self._client = client
        self._reporter = reporter

    async def read(self, name: str) -> Manifest | None:
        """Return the resource as it is now, or None if it does not exist."""
        body = await self._client.get(ObjectRef(API_VERSION, KIND, None, name))
        if body is not None:
            metrics.show(name, body.get("status") or {})
        return body

    async def write_status(self, body: Manifest, status: Mapping[str, Any], part: Part) -> None:
        """Make `status` all that is in `part`, if the resource is still the one that `body` was read from."""
        metadata = {"name": body["metadata"]["name"], "uid": body["metadata"]["uid"]}
        live = await self._client.apply_status(
            {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}, part.writer
        )
        found = live.get("status") or {}
        whole = combined(found, part, status)
        if not equal(own(found, part), status):
            # Somebody edited it by hand: what is theirs in lists stays when only we apply.
            await self._client.replace_status(live, whole, part.writer)
        metrics.show(metadata["name"], whole)

    async def record(self, body: Manifest, event: Event) -> None:
        """Record an Event; one that can't be recorded is logged and lost, the pass goes on."""
        ref, uid = ObjectRef(API_VERSION, KIND, None, body["metadata"]["name"]), body["metadata"]["uid"]
        logger.info(
            "%s: %s: %s", ref.name, event.reason, event.message, extra={"environment": ref.name, "event": event.reason}
        )
        try:
            await self._record(ref, uid, event)
        except OutsideError as error:
            logger.warning("could not record the Event %s of environment %s: %s", event.reason, ref.name, error)
        if namespace := _namespace_of_readers(body):
            # Lost where the namespace is on its way out, together with all who could read it there.
            with contextlib.suppress(OutsideError):
                await self._record(dataclasses.replace(ref, namespace=namespace), uid, event)

    async def _record(self, ref: ObjectRef, uid: str, event: Event) -> None:
        told = event_manifest(
            ref, uid, type_=event.type, reason=event.reason, message=event.message, reporter=self._reporter
        )
        await self._client.create(told)


def _namespace_of_readers(body: Manifest) -> str | None:
    """Return the namespace of an environment that has readers who see nothing of `default`, once it is its own.

    Events on it are in `default`, and no Role can tell those of one environment from the others'.
    """
    status: Mapping[str, Any] = body.get("status") or {}
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    bound = ((body.get("spec") or {}).get("access") or {}).get("bindings")
    return status.get("namespace") if bound and conditions.get(ConditionType.NAMESPACE_READY) == "True" else None
