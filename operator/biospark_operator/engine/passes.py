"""What a pass is given, what it remembers, and what it says: the words that `reconcile` is written in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from biospark_operator.api.v1alpha1.environment import RECONCILE_REQUESTED_AT
from biospark_operator.api.v1alpha1.spec import Mode
from biospark_operator.engine import events
from biospark_operator.engine.backoff import Backoff
from biospark_operator.engine.component import AnyComponent, Environment, Identity
from biospark_operator.engine.contest import Contest
from biospark_operator.engine.convergence import Report
from biospark_operator.engine.inventory import Inventory
from biospark_operator.engine.outcome import Blocked
from biospark_operator.engine.shares import Part

Body = Mapping[str, Any]


class Store(Protocol):
    """Where environments live: the API server, or a dictionary in tests."""

    async def read(self, name: str) -> Body | None:
        """Return the resource as it is now, or None if it does not exist."""

    async def write_status(self, body: Body, status: Mapping[str, Any], part: Part) -> None:
        """Make `status` all that is in `part` of the status of the resource that `body` is a reading of."""

    async def record(self, body: Body, event: events.Event) -> None:
        """Record an Event on the resource. Best effort: a lost Event must not fail a pass."""


class Orphaning(Protocol):
    """Finds out whether a deletion leaves behind what was made, as `kubectl delete --cascade=orphan` asks.

    Kubernetes tells that by a finalizer which it takes away as soon as it likes, also while nobody looks.
    """

    async def prepare(self, body: Body) -> None:
        """Have it leave a trace. Does nothing where that is prepared, or the resource is being deleted by now."""

    async def asked(self, body: Body) -> bool:
        """Whether a resource that is being deleted leaves behind what was made for it."""

    async def settle(self, body: Body) -> None:
        """Take the trace away, which is the last thing that is left."""


#: Turns a resource into an environment, or says why it can't be worked on.
Admission = Callable[[Body], Environment | Blocked]
#: Says which environment a resource is, also when its specification can't be read.
Identify = Callable[[Body], Identity]


@dataclass
class Memory:
    """What is remembered of one environment between passes. Losing it costs time, never correctness."""

    backoff: Backoff = field(default_factory=Backoff)
    contest: Contest = field(default_factory=Contest)
    reports: dict[str, Report] = field(default_factory=dict)
    #: How many deletions were begun, by component. For the metrics, which take them out.
    deletions: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Next:
    """When to look again if nothing happens before: in `after` seconds, or with None only when woken.

    `gone` says that there is nothing left to look at.
    """

    after: float | None
    gone: bool = False


@dataclass(frozen=True)
class Pass:
    """One pass: the reading of the resource that it works on, and what it is about."""

    body: Body
    env: Environment
    components: Sequence[AnyComponent]
    memory: Memory
    #: Whether nothing has been told of this generation yet: what is done then is no repair.
    fresh: bool
    #: What was taken into the inventory since the reading, as a system outside answered, by one writer at a time.
    intended: dict[str, str] = field(default_factory=dict)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def inventory(self) -> Inventory:
        """All that exists or may exist of the environment."""
        return Inventory.from_status(self.status) | Inventory(self.intended)

    @property
    def applies(self) -> bool:
        """Whether this pass may change anything: mode Apply, not Plan."""
        return self.env.spec.mode is Mode.APPLY

    @property
    def status(self) -> Mapping[str, Any]:
        """The status as it was read."""
        return status_of(self.body)


def status_of(body: Body) -> Mapping[str, Any]:
    """Return the status of a resource, which may have none yet."""
    return body.get("status") or {}


def is_fresh(body: Body) -> bool:
    """Whether nothing has been told of this generation yet."""
    status = status_of(body)
    return status.get("observedGeneration") != body["metadata"]["generation"] or not status.get("conditions")


def requested(body: Body) -> str | None:
    """Return the forced reconcile that was asked for and not accepted yet."""
    wanted = (body["metadata"].get("annotations") or {}).get(RECONCILE_REQUESTED_AT)
    return wanted if wanted and wanted != status_of(body).get("lastHandledReconcileAt") else None
