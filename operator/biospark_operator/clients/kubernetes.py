"""Talks to the API server: read, server-side apply, delete, status, Events. Used by components and runtime.

It wraps the dynamic client of the official package, bounds how many requests are under way, and turns every
failure into the vocabulary of `engine.errors`, so that nothing above knows HTTP.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import ResourceNotFoundError

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.objects import Manifest, ObjectRef
from biospark_operator.engine.errors import (
    AccessError,
    FieldConflictError,
    OutsideError,
    RejectedError,
    UnavailableError,
)

#: Who we are to server-side apply. The status has a manager of its own, as the API server keeps them apart.
FIELD_MANAGER, STATUS_MANAGER = "biospark-operator", "biospark-operator-status"
#: Requests under way at once, over all environments.
CONCURRENCY = 64
#: Seconds that one request may take.
TIMEOUT = 30.0
#: Seconds after which a watch is begun anew, so that one that died silently is noticed.
WATCH_SECONDS = 300

_CONFLICT = re.compile(r'conflicts? with "(?P<manager>[^"]+)"')


class KubernetesClient:
    """The API server as the operator sees it. Safe for use by many tasks at once."""

    def __init__(self, dynamic: DynamicClient, concurrency: int = CONCURRENCY) -> None:
        self._dynamic = dynamic
        self._slots = asyncio.Semaphore(concurrency)
        self._written: dict[str, str] = {}

    async def get(self, ref: ObjectRef) -> Manifest | None:
        """Return the object, or None where it, its namespace or its kind does not exist."""
        try:
            resource = await self._resource(ref.api_version, ref.kind)
            path = resource.path(name=ref.name, namespace=ref.namespace)
            return await self._send("get", path, f"read {ref.short}")
        except _MissingError:
            return None

    async def list(
        self, api_version: str, kind: str, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> Sequence[Manifest]:
        """Return the objects of a kind, optionally of one namespace and by label and field selector."""
        resource = await self._resource(api_version, kind)
        answer = await self._send(
            "get",
            resource.path(namespace=namespace),
            f"list {kind}s" + (f" in {namespace}" if namespace else ""),
            label_selector=labels or None,
            field_selector=fields or None,
        )
        return [{**item, "apiVersion": api_version, "kind": kind} for item in answer["items"] or ()]

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        """Server-side apply `manifest` as `FIELD_MANAGER` and return the object as it is then.

        `force` takes over fields that other managers set; without it they are a `FieldConflictError`.
        """
        ref = ObjectRef.of(manifest)
        resource = await self._resource(ref.api_version, ref.kind)
        answer = await self._send(
            "patch",
            resource.path(name=ref.name, namespace=ref.namespace),
            f"apply {ref.short}",
            body=manifest,
            content_type="application/apply-patch+yaml",
            field_manager=FIELD_MANAGER,
            force_conflicts="true" if force else None,
            dry_run="All" if dry_run else None,
        )
        if not dry_run:
            self._written[answer["metadata"]["uid"]] = answer["metadata"]["resourceVersion"]
        return answer

    def wrote(self, uid: str, resource_version: str) -> bool:
        """Whether this version of an object is what `apply` made it: an echo of our own write, not news."""
        return self._written.get(uid) == resource_version

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """Make `manifest["status"]` all that this operator says in the status of an existing object."""
        ref = ObjectRef.of(manifest)
        resource = await self._resource(ref.api_version, ref.kind)
        return await self._send(
            "patch",
            f"{resource.path(name=ref.name, namespace=ref.namespace)}/status",
            f"write the status of {ref.short}",
            body=manifest,
            content_type="application/apply-patch+yaml",
            field_manager=STATUS_MANAGER,
            force_conflicts="true",
        )

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object that must not exist yet. Used for Events and Leases, not for children."""
        ref = ObjectRef.of(manifest)
        resource = await self._resource(ref.api_version, ref.kind)
        path = resource.path(namespace=ref.namespace)
        return await self._send("post", path, f"create {ref.short}", body=manifest, field_manager=FIELD_MANAGER)

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replace an object; `metadata.resourceVersion` guards against a write in between."""
        ref = ObjectRef.of(manifest)
        resource = await self._resource(ref.api_version, ref.kind)
        path = resource.path(name=ref.name, namespace=ref.namespace)
        return await self._send("put", path, f"replace {ref.short}", body=manifest, field_manager=FIELD_MANAGER)

    async def delete(self, ref: ObjectRef, *, uid: str) -> None:
        """Start deleting the object with this uid. An object that is gone, or is another one, is left alone."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            resource = await self._resource(ref.api_version, ref.kind)
            await self._send(
                "delete",
                resource.path(name=ref.name, namespace=ref.namespace),
                f"delete {ref.short}",
                body={**options, "preconditions": {"uid": uid}},
            )
            self._written.pop(uid, None)
        except _MissingError:
            return
        except UnavailableError as error:
            if not isinstance(error.__cause__, ApiException) or error.__cause__.status != 409:
                raise

    async def watch_names(self, api_version: str, kind: str, namespace: str) -> AsyncIterator[str]:
        """Yield the name of every object of a kind in a namespace, then of each that is added, changed or gone.

        Ends when the API server closes the stream, as it does every few minutes; raises as all methods do.
        Only metadata is transferred.
        """
        resource = await self._resource(api_version, kind)
        path, purpose = resource.path(namespace=namespace), f"watch {kind}s in {namespace}"
        listed = await self._send("get", path, purpose, header_params={"Accept": _accept("PartialObjectMetadataList")})
        for item in listed["items"] or ():
            yield item["metadata"]["name"]
        try:
            response = await self._dynamic.request(
                "get",
                path,
                serialize=False,
                watch="true",
                resource_version=listed["metadata"]["resourceVersion"],
                timeout_seconds=WATCH_SECONDS,
                header_params={"Accept": _accept("PartialObjectMetadata")},
                _request_timeout=WATCH_SECONDS + TIMEOUT,
            )
            async with response:
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield event["object"]["metadata"]["name"]
        except (ApiException, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translated(error, purpose) from error

    async def _resource(self, api_version: str, kind: str) -> Any:
        """Return what discovery knows of a kind. Raises `_MissingError` where the cluster does not have it."""
        try:
            return await self._dynamic.resources.get(api_version=api_version, kind=kind)
        except ResourceNotFoundError:
            group = api_version.partition("/")[0]
            raise _MissingError(f"the cluster does not have the kind {kind} of {group}: install its CRD") from None
        except (ApiException, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise translated(error, f"find the kind {kind}") from error

    async def _send(self, method: str, path: str, purpose: str, **params: Any) -> dict[str, Any]:
        async with self._slots:
            try:
                response = await self._dynamic.request(
                    method, path, serialize=False, _request_timeout=TIMEOUT, **params
                )
                answer: dict[str, Any] = json.loads(await response.read())
            except (ApiException, aiohttp.ClientError, TimeoutError, OSError) as error:
                raise translated(error, purpose) from error
        return answer


class _MissingError(RejectedError):
    """404: the object, its namespace or its kind does not exist."""


def translated(error: Exception, purpose: str) -> OutsideError:
    """Say in our vocabulary what `error` means for someone who wanted to `purpose` ("apply Service a/b")."""
    if not isinstance(error, ApiException):
        return UnavailableError(f"could not {purpose}: no answer from the API server; retrying")
    text = _message_of(error)
    match error.status:
        case 401:
            return AccessError(f"could not {purpose}: the API server does not accept the operator's credentials")
        case 403 if "is being terminated" in text:
            return UnavailableError(
                f"could not {purpose}: its namespace is being deleted; retrying when it is gone",
                reason=Reason.NAMESPACE_TERMINATING,
            )
        case 403 if "exceeded quota" in text:
            return RejectedError(f"could not {purpose}: {text}; raise spec.namespace.quota or ask for less")
        case 403:
            return AccessError(f"could not {purpose}: {text}; grant the operator this right")
        case 404:
            return _MissingError(f"could not {purpose}: {text}")
        case 409 if managers := sorted(set(_CONFLICT.findall(text))):
            fields = ", ".join(_causes(error)) or "a field"
            return FieldConflictError(
                f"could not {purpose}: {', '.join(managers)} manages {fields}; "
                "let that manager give the field up, or delete the object"
            )
        case 408 | 409 | 410 | 412 | 423 | 425 | 429 | None:
            return UnavailableError(
                f"could not {purpose}: {text or 'no answer'}; retrying", retry_after=_retry_after(error)
            )
        case status if status >= 500:
            return UnavailableError(f"could not {purpose}: the API server failed ({status}); retrying")
        case _:
            return RejectedError(f"could not {purpose}: {text}")


def _accept(kind: str) -> str:
    return f"application/json;as={kind};g=meta.k8s.io;v=v1"


def _status_of(error: ApiException) -> Mapping[str, Any]:
    try:
        body = json.loads(error.body or "{}")
    except (TypeError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _message_of(error: ApiException) -> str:
    return str(_status_of(error).get("message") or error.reason or "")


def _causes(error: ApiException) -> list[str]:
    causes = (_status_of(error).get("details") or {}).get("causes") or ()
    return sorted({str(cause["field"]).removeprefix(".") for cause in causes if cause.get("field")})


def _retry_after(error: ApiException) -> float | None:
    value = (error.headers or {}).get("Retry-After")
    return float(value) if value and value.isdigit() else None


@asynccontextmanager
async def connected(concurrency: int = CONCURRENCY, kubeconfig: str | None = None) -> AsyncIterator[KubernetesClient]:
    """Open a client to the cluster that `configuration` finds, for as long as the context lasts."""
    async with kube.ApiClient(await configuration(kubeconfig)) as api:
        with tempfile.TemporaryDirectory(prefix="biospark-discovery-") as folder:
            dynamic = await DynamicClient(api, cache_file=str(Path(folder) / "discovery.json"))
            yield KubernetesClient(dynamic, concurrency)


async def configuration(kubeconfig: str | None = None) -> kube.Configuration:
    """Read how to reach the API server: the ServiceAccount inside a cluster, else the kubeconfig.

    The token of a ServiceAccount is read again as it rotates; exec plugins of a kubeconfig are run.
    `kubeconfig` is the path of one; by default `$KUBECONFIG` says, then `~/.kube/config`.
    Raises `AccessError` where there is neither.
    """
    settings = kube.Configuration()
    try:
        if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            kube_config.load_incluster_config(client_configuration=settings)
        else:
            path = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
            await kube_config.load_kube_config(config_file=path, client_configuration=settings)
    except kube_config.ConfigException as error:
        raise AccessError(f"no way to reach a cluster: {error}; set KUBECONFIG, or run in a pod") from None
    return settings


def event_manifest(ref: ObjectRef, uid: str, *, type_: str, reason: str, message: str, reporter: str) -> Manifest:
    """Build an Event about an object. Events on cluster-scoped objects live in the namespace `default`."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    name = f"{ref.name}.{uid[:8]}.{datetime.now(UTC).timestamp():.6f}".replace(".", "-")
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": ref.namespace or "default"},
        "eventTime": now,
        "type": type_,
        "reason": reason,
        "action": "Reconcile",
        "note": message[:1024],
        "reportingController": FIELD_MANAGER,
        "reportingInstance": reporter,
        "regarding": {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "name": ref.name,
            "namespace": ref.namespace,
            "uid": uid,
        },
    }
