"""One run of migrations: in a thread, beside the passes, with a password for this run alone.

A migration may take minutes, and a pass may not. So a run goes on by itself, later passes look at how far it is,
and only its first seconds are waited for, which is enough for an empty database. A run that is lost with the
process ends with its connection: the migration that was under way leaves nothing, those before it stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime

#: Seconds that a pass waits for a run.
PATIENCE = 3.0


@dataclass
class Run:
    """How far a run of migrations is. Written by its thread, read by passes."""

    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    revision: str | None = None
    applied: tuple[str, ...] = ()
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def begins(self, revision: str) -> None:
        """Say that a migration begins."""
        self.revision, self.since = revision, datetime.now(UTC)

    def ends(self, revision: str) -> None:
        """Say that a migration was applied."""
        self.revision, self.applied = None, (*self.applied, revision)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is under way any more."""
        return self.task is None or self.task.done()


class Runs:
    """The runs of this process by database, and how often each failed in a row."""

    def __init__(self) -> None:
        self._runs: dict[Hashable, Run] = {}
        self._failures: dict[Hashable, int] = {}

    def get(self, key: Hashable) -> Run | None:
        """Return the run that is under way, or the last one until it was taken."""
        return self._runs.get(key)

    def start(self, key: Hashable, work: Callable[[Run], Awaitable[None]]) -> Run:
        """Begin a run. There is at most one for a key."""
        run = Run()
        run.task = asyncio.ensure_future(work(run))
        self._runs = {key: run, **{other: known for other, known in self._runs.items() if not known.is_over}}
        return run

    async def wait(self, run: Run) -> bool:
        """Wait for a run, not for long, and say whether it is over."""
        if run.task is not None:
            await asyncio.wait([run.task], timeout=PATIENCE)
        return run.is_over

    def take(self, key: Hashable) -> None:
        """Forget the run of `key`, if it is over, and raise what it failed with."""
        run = self._runs.get(key)
        if run is None or not run.is_over:
            return
        del self._runs[key]
        if run.task is not None:
            run.task.result()

    def failed(self, key: Hashable) -> int:
        """Count a failure, and return how many there were in a row."""
        self._failures[key] = self._failures.get(key, 0) + 1
        return self._failures[key]

    def succeeded(self, key: Hashable) -> None:
        """End the row."""
        self._failures.pop(key, None)
