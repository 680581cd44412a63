"""Writes a part of the status: what it writes replaces what it wrote, and nothing else.

Each writer applies its part under a name of its own, so two may write at the same moment, and the process may be
killed between the writes of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from biospark_operator.engine.convergence import Leadership
from biospark_operator.engine.passes import Body, Store, status_of
from biospark_operator.engine.shares import Part, Status, equal, own
from biospark_operator.engine.status import Condition, merged


@dataclass(frozen=True)
class StatusWriter:
    """Writes one part of the status of environments, while this process may act."""

    store: Store
    part: Part
    leadership: Leadership
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    async def read(self, name: str) -> Body | None:
        """Return the resource with this writer's part for its status, or None where it does not exist."""
        body = await self.store.read(name)
        return None if body is None else {**body, "status": own(status_of(body), self.part)}

    async def write(self, body: Body, conditions: Iterable[Condition], fields: Status) -> Status:
        """Make `conditions` and `fields` all that this writer says, and return that. Writes nothing that stands there.

        `body` comes from `read`. A field that is None or empty is taken away. The conditions are about the generation
        of `body`.
        """
        before, generation = status_of(body), body["metadata"]["generation"]
        entries = merged(conditions, before, generation, self.clock())
        after = {key: value for key, value in fields.items() if value not in (None, [])}
        after |= {"conditions": entries} if entries else {}
        if not equal(after, before):
            self.leadership.check()
            await self.store.write_status(body, after, self.part)
        return after
