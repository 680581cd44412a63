"""What a Kubernetes object is to the operator: a manifest (plain JSON) and a reference that names it.

A reference has a text form, which is what the inventory in `status` keeps and what plans and Events show:
`apps/v1 Deployment biospark-dev/biospark-api`, or `v1 Namespace biospark-dev` for cluster-scoped kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: An object as the API server takes and gives it. Never changed in place.
Manifest = Mapping[str, Any]
#: A resourceVersion that no object has: a manifest with it creates an object and never changes one.
NEVER = "1"


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """Names one object. `namespace` is None for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str | None
    name: str

    @classmethod
    def of(cls, manifest: Manifest) -> ObjectRef:
        """Return the reference of an object."""
        metadata = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])

    @classmethod
    def parse(cls, text: str) -> ObjectRef:
        """Read the text form back. Raises `ValueError` if `text` is not one."""
        if not cls.is_one(text):
            raise ValueError(f"{text!r} does not name a Kubernetes object")
        api_version, kind, path = text.split(" ")
        namespace, _, name = path.rpartition("/")
        return cls(api_version, kind, namespace or None, name)

    @classmethod
    def is_one(cls, text: str) -> bool:
        """Whether `text` is the text form of a reference."""
        return text.count(" ") == 2 and all(text.split(" "))

    def __str__(self) -> str:
        path = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.api_version} {self.kind} {path}"

    @property
    def short(self) -> str:
        """For messages: "Deployment biospark-dev/biospark-api"."""
        return str(self).split(" ", 1)[1]
