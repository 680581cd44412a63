"""The audit log writes each entry once, also when the service stops while it writes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from biospark_api.audit import queries
from biospark_api.audit.entries import Entry, ids
from biospark_api.audit.log import AuditLog
from biospark_api.database.pool import Pool
from biospark_api.http.paging import MAX_LIMIT
from biospark_api.http.problems import ProblemError


class Database:
    """Takes entries, and says so only when it is let: by then they are committed."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.committed = asyncio.Event()
        self.answers = asyncio.Event()

    async def add(self, _pool: Pool, entries: Sequence[Entry]) -> None:
        self.entries += entries
        self.committed.set()
        await self.answers.wait()


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Database]:
    def made() -> Database:
        opened = Database()
        monkeypatch.setattr(queries, "add", opened.add)
        return opened

    return made


def entry(number: int) -> Entry:
    return Entry(action="patients.list", outcome="success", status=200, request_id=str(number))


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_a_stop_between_commit_and_answer_writes_nothing_twice(database: Callable[[], Database]) -> None:
    opened = database()
    log = AuditLog(cast("Pool", None))
    written = [entry(number) for number in range(3)]
    for each in written:
        log.add(each)
    task = asyncio.create_task(log.run())
    await opened.committed.wait()
    await cancelled(task)
    closing = asyncio.create_task(log.close(5))
    opened.answers.set()
    await closing
    assert opened.entries == written
    assert log.waiting == 0


async def test_what_does_not_end_in_time_is_given_up(database: Callable[[], Database]) -> None:
    opened = database()
    log = AuditLog(cast("Pool", None))
    log.add(entry(1))
    await log.close(0.01)
    assert log.waiting == 1
    opened.answers.set()
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_what_was_shown_takes_room_until_it_is_written(database: Callable[[], Database]) -> None:
    opened = database()
    opened.answers.set()
    log = AuditLog(cast("Pool", None), capacity=10)
    largest = Entry("patients.list", "success", 200, shown=ids(str(uuid.uuid4()) for _ in range(MAX_LIMIT)))
    for _ in range(3):
        log.add(largest)
    with pytest.raises(ProblemError, match="takes no entries"):
        log.add(entry(1))
    await log.flush()
    for _ in range(3):
        log.add(largest)
    assert log.waiting == 3
