"""A store of credentials in a dictionary, as unlike a Secret as the promise allows. Satisfies `CredentialStore`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from biospark_operator.components.secrets.store import Credential, Slot
from biospark_operator.engine.component import Environment, Identity
from biospark_operator.engine.errors import UnavailableError
from biospark_operator.objects.ownership import Origin, Standing, belongs_to, not_created_here, standing_of


@dataclass
class Entry:
    """What is in a place: every write makes a version."""

    held: Credential
    #: Environment and uid, None where it is nobody's.
    mark: tuple[str, str] | None
    version: int


@dataclass
class MemoryStore:
    """`answers` says of each write whether it takes effect and whether that is told."""

    entries: dict[str, Entry] = field(default_factory=dict)
    answers: Callable[[], tuple[bool, bool]] = lambda: (True, True)

    def id(self, env: Environment, name: str) -> str:
        """Return a path."""
        return f"memory://{env.name}/{name}"

    def knows(self, id_: str) -> bool:
        """Whether it is a path of this store."""
        return id_.startswith("memory://")

    async def read(self, env: Environment, name: str) -> Slot:
        """Look."""
        return self.look(env, name)

    def look(self, env: Environment, name: str) -> Slot:
        """Look, without waiting."""
        id_, where = self.id(env, name), f"entry {name}"
        entry = self.entries.get(id_)
        if entry is None:
            return Slot(name, id_, where, version={"version": "0"})
        why = None
        if entry.mark is None:
            why = not_created_here(where, "remove it")
        elif not _is_held(entry, env.identity):
            why = belongs_to(where, " ".join(entry.mark), "remove it")

        def differs(wanted: Credential) -> list[str]:
            keys = {*wanted.values, *entry.held.values}
            return sorted(key for key in keys if wanted.values.get(key) != entry.held.values.get(key))

        return Slot(name, id_, where, entry.held, why, differs, {"version": str(entry.version)})

    async def write(self, env: Environment, seen: Slot, wanted: Credential) -> None:
        """Write where nobody was faster."""
        self.put(env, seen, wanted)

    def put(self, env: Environment, seen: Slot, wanted: Credential) -> None:
        """Write, without waiting."""
        there = self.entries.get(seen.id)
        version = there.version if there else 0
        if seen.version != {"version": str(version)}:
            raise UnavailableError(f"{seen.where} was changed by somebody else at the same moment")
        written, told = self.answers()
        if written:
            self.entries[seen.id] = Entry(wanted, (env.name, env.uid), version + 1)
        if not told:
            raise UnavailableError(f"{seen.where}: the connection was lost")

    async def remove(self, owner: Identity, id_: str) -> None:
        """Remove what is the owner's."""
        entry = self.entries.get(id_)
        if entry is None or not _is_held(entry, owner):
            return
        if owner.orphans:
            self.entries[id_] = Entry(entry.held, None, entry.version + 1)
        else:
            del self.entries[id_]


def _is_held(entry: Entry, owner: Identity) -> bool:
    if entry.mark is None:
        return False
    return standing_of(*entry.mark, Origin.CREATED, owner) in (Standing.OURS, Standing.PREDECESSORS)
