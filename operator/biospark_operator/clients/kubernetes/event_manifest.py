"""Builds Kubernetes Events. Pure; used by `runtime.store`, which sends them."""

from __future__ import annotations

from datetime import UTC, datetime

from biospark_operator.clients.kubernetes.client import FIELD_MANAGER
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef

#: What the API server takes an Event's texts to be at most, in bytes.
_NOTE_LIMIT, _REPORTER_LIMIT = 1024, 128


def event_manifest(ref: ObjectRef, uid: str, *, type_: str, reason: str, message: str, reporter: str) -> Manifest:
    """Build an Event about an object. Events on cluster-scoped objects live in the namespace `default`.

    The API server takes one in another namespace where `ref` claims that the object is in there.
    """
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
        "note": _cut(message, _NOTE_LIMIT),
        "reportingController": FIELD_MANAGER,
        "reportingInstance": _cut(reporter, _REPORTER_LIMIT),
        "regarding": {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "name": ref.name,
            "namespace": ref.namespace,
            "uid": uid,
        },
    }


def _cut(text: str, limit: int) -> str:
    """Shorten `text` to at most `limit` bytes, between two characters."""
    return text.encode()[:limit].decode(errors="ignore")
