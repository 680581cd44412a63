"""An API server in a dictionary: enough for components to read from, and a record of what they read."""

from __future__ import annotations

from collections.abc import Sequence

from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef


class FakeCluster:
    """Satisfies `objects.Cluster`. Objects are kept as they are applied, with an identity; nothing fills in
    defaults."""

    def __init__(self, *objects: Manifest) -> None:
        self.objects = {ObjectRef.of(manifest): manifest for manifest in objects}
        self.read: list[str] = []

    async def get(self, ref: ObjectRef) -> Manifest | None:
        self.read.append(ref.short)
        return self.objects.get(ref)

    async def list(
        self, api_version: str, kind: str, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> Sequence[Manifest]:
        assert not fields, "no component selects by field"
        wanted = dict(pair.split("=") for pair in labels.split(",") if pair)
        return [
            manifest
            for ref, manifest in self.objects.items()
            if (ref.api_version, ref.kind, ref.namespace) == (api_version, kind, namespace)
            and wanted.items() <= manifest["metadata"].get("labels", {}).items()
        ]

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        ref = ObjectRef.of(manifest)
        stored = {**manifest, "metadata": {**manifest["metadata"], "uid": f"uid-of-{ref}", "resourceVersion": "2"}}
        if not dry_run:
            self.objects[ref] = stored
        return stored

    async def delete(self, ref: ObjectRef, *, uid: str, foreground: bool = False) -> None:
        self.objects.pop(ref, None)
