"""The audit log while the service runs: entries of reads and refusals are collected and written in batches.

A read does not wait for its entry. What was collected is written twice a second, when a batch is full, and
before the service stops. When the database takes no entries the queue fills up, and from then on reads are
refused: what cannot be audited does not happen.
"""

import asyncio
import contextlib
import itertools
import logging
from collections import deque

import psycopg

from biospark_api.audit import queries
from biospark_api.audit.entries import Entry
from biospark_api.database.pool import Pool
from biospark_api.http.problems import ProblemError

log = logging.getLogger(__name__)

_CAPACITY = 10_000
_BATCH = 500
_SHOWN_EACH = 2000
"""Characters about what was shown, for each entry that there is room for: fifty ids. A list has up to 200."""
_FLUSH_SECONDS = 0.5
_RETRY_SECONDS = 1.0


class AuditLog:
    """The queue of entries and the task that writes them."""

    def __init__(self, pool: Pool, capacity: int = _CAPACITY) -> None:
        self.lost = 0
        self._pool = pool
        self._capacity = capacity
        self._shown = 0
        self._queue: deque[Entry] = deque()
        self._being_written = 0
        self._writing: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Entries that are not written yet."""
        return len(self._queue)

    def add(self, entry: Entry) -> None:
        """Collect an entry. Raises the 503 problem when there is no room and the entry is about a success."""
        if len(self._queue) >= self._capacity or self._shown >= self._capacity * _SHOWN_EACH:
            if entry.outcome == "success":
                raise ProblemError(503, "The audit log takes no entries now.", headers={"Retry-After": "1"})
            self.lost += 1  # nothing was given away
            return
        self._queue.append(entry)
        self._shown += len(entry.shown or "")
        if len(self._queue) - self._being_written >= _BATCH:
            self._wake.set()

    async def write(self, entry: Entry) -> None:
        """Write an entry now, past those that wait. Raises psycopg's errors."""
        await queries.add(self._pool, [entry])

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _FLUSH_SECONDS)
            self._wake.clear()
            try:
                await self.flush()
            except Exception:
                # Whatever it was: a task that ends here would leave all later entries unwritten.
                log.exception("The audit log could not be written; %d entries wait", len(self._queue))
                await asyncio.sleep(_RETRY_SECONDS)

    async def flush(self) -> None:
        """Write what was collected so far; what fails stays in the queue. Raises psycopg's errors.

        What comes meanwhile is left for the next time: under load something always does, and would make a batch of
        one entry after the other. Whoever is cancelled leaves the write to the next call: it may be committed already,
        and would be there twice.
        """
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_batches())
        await asyncio.shield(self._writing)

    async def _write_batches(self) -> None:
        self._being_written = len(self._queue)
        try:
            while self._being_written:
                batch = list(itertools.islice(self._queue, min(_BATCH, self._being_written)))
                await queries.add(self._pool, batch)
                for entry in batch:
                    self._queue.popleft()
                    self._shown -= len(entry.shown or "")
                self._being_written -= len(batch)
        finally:
            self._being_written = 0

    async def close(self, seconds: float) -> None:
        """Write the rest within a time limit, or say how much was lost."""
        try:
            async with asyncio.timeout(seconds):
                while self._queue:
                    await self.flush()
        except (psycopg.Error, OSError, TimeoutError):
            if self._writing is not None:
                self._writing.cancel()
            log.exception("%d entries of the audit log were lost", len(self._queue))
