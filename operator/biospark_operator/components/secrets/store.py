"""Credentials by name: what a store of them promises, and the one whose places are Secrets of the environment.

Who reads or writes credentials knows a name, values, and notes that are no secret; where they are is the store's
business: who may read them there, whose mark they carry, how that system writes things down. Every store keeps to this:

- `write` is a check-and-set: it takes effect only on what `read` saw. Where somebody else was faster it raises.
- `write` may raise and have taken effect all the same. Who writes looks again before anything else, and what it wrote
  is good, or is replaced as whole: no value is ever written a second time.
- What is not the environment's is told by `Slot.refused`, and neither written nor removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from biospark_operator.clients.kubernetes.client import FIELD_MANAGER
from biospark_operator.clients.kubernetes.objects import NEVER, Manifest, ObjectRef
from biospark_operator.engine.component import Environment, Identity
from biospark_operator.objects import drift, ownership, secret_data
from biospark_operator.objects.component import Cluster, release
from biospark_operator.objects.manifest import namespaced, only_on


@dataclass(frozen=True, slots=True)
class Credential:
    """What is kept under a name: values, and notes that everybody may read."""

    values: Mapping[str, bytes] = field(repr=False)
    notes: Mapping[str, str] = field(default_factory=dict)

    def text(self, key: str) -> str:
        """Return a value that is text. Raises `KeyError` or `ValueError` where there is none."""
        return self.values[key].decode()


def _same(wanted: Credential) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a name as it was seen, empty or not."""

    name: str
    #: By which inventory and history know it, and how a message names it.
    id: str
    where: str
    held: Credential | None = None
    #: Why the environment may not have what is there.
    refused: str | None = None
    #: Says what is otherwise than it is wanted, by its place; marks count as well.
    differs: Callable[[Credential], Sequence[str]] = field(default=_same, repr=False, compare=False)
    #: What `write` checks.
    version: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


class CredentialStore(Protocol):
    """Reads and writes credentials of environments by their names."""

    def id(self, env: Environment, name: str) -> str:
        """Return by which text the inventory knows a place."""

    def knows(self, id_: str) -> bool:
        """Whether a text of an inventory means a place of this store."""

    async def read(self, env: Environment, name: str) -> Slot:
        """Look at a place."""

    async def write(self, env: Environment, seen: Slot, wanted: Credential) -> None:
        """Put a credential into a place that is as it was seen."""

    async def remove(self, owner: Identity, id_: str) -> None:
        """Empty a place that is the owner's; where it orphans, or what is there was adopted, leave that to whoever."""


#: What notes are called as annotations.
_PREFIX = "biospark.ai/"
_WAY_OUT = "delete or rename it"


@dataclass(frozen=True)
class KubernetesSecrets:
    """Keeps each credential in a Secret of its name; satisfies `CredentialStore`. Notes are annotations.

    Who may read it is up to the rights in the environment's namespace.
    """

    cluster: Cluster
    #: The component that the Secrets belong to.
    component: str

    def id(self, env: Environment, name: str) -> str:
        """Return the text form of the Secret's reference."""
        return str(_ref(env, name))

    def knows(self, id_: str) -> bool:
        """Whether it is that of a Secret."""
        return id_.startswith("v1 Secret ") and ObjectRef.is_one(id_)

    async def read(self, env: Environment, name: str) -> Slot:
        """Read the Secret."""
        return self.slot(env, name, await self.cluster.get(_ref(env, name)))

    def slot(self, env: Environment, name: str, live: Manifest | None) -> Slot:
        """Return what was seen. Pure."""
        id_, where = self.id(env, name), f"Secret {name}"
        if live is None:
            return Slot(name, id_, where, version={"resourceVersion": NEVER})
        metadata, refused = live["metadata"], None
        if not ownership.is_ours(live, env.identity):
            refused = ownership.refusal(live, env.identity, owned=_WAY_OUT, unowned=_WAY_OUT)
        notes = {
            key.removeprefix(_PREFIX): said
            for key, said in (metadata.get("annotations") or {}).items()
            if key.startswith(_PREFIX) and key != ownership.CREATED_FOR
        }
        return Slot(
            name,
            id_,
            where,
            Credential(secret_data.values(live), notes),
            refused,
            lambda wanted: drift.differences(self.manifest(env, name, wanted), live, FIELD_MANAGER),
            {key: metadata[key] for key in ("uid", "resourceVersion") if key in metadata},
        )

    async def write(self, env: Environment, seen: Slot, wanted: Credential) -> None:
        """Apply the Secret, only on the one that was seen."""
        await self.cluster.apply(only_on(self.manifest(env, seen.name, wanted), seen.version), force=True)

    def manifest(self, env: Environment, name: str, wanted: Credential) -> Manifest:
        """Return the Secret. Pure."""
        data = {key: secret_data.encoded(value) for key, value in sorted(wanted.values.items())}
        secret = namespaced(env, "v1", "Secret", name, type="Opaque", data=data)
        notes = {f"{_PREFIX}{key}": said for key, said in wanted.notes.items()}
        noted = {**secret, "metadata": {**secret["metadata"], "annotations": notes}}
        return ownership.marked(noted, env, self.component)

    async def remove(self, owner: Identity, id_: str) -> None:
        """Delete the Secret, or give it back."""
        ref = ObjectRef.parse(id_)
        live = await self.cluster.get(ref)
        if live is None or not ownership.is_ours(live, owner):
            return
        if owner.orphans:
            await release(self.cluster, live, owner)
        elif ownership.is_created(live, owner):
            await self.cluster.delete(ref, uid=live["metadata"]["uid"])


def _ref(env: Environment, name: str) -> ObjectRef:
    return ObjectRef("v1", "Secret", env.spec.namespace.name, name)
