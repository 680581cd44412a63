"""Runs the migrations over a connection that the caller made, and says how far a database is.

The caller decides about server, role and TLS; a migrator that is a member of the owner calls `SET ROLE` first.
Runs are serialised by an advisory lock, and a table that is in use is waited for briefly, never long: a waiting
ALTER TABLE would block all reads behind it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from biospark_api.schema.baseline import is_at_first_revision
from biospark_api.schema.history import record
from biospark_api.schema.migrations.steps import Step, checksum

_LOCK = 0x62696F737061726B
"""Key of the advisory lock: "biospark" in ASCII."""


HEAD = "0009"
"""The revision that this release of the API needs."""


@dataclass(frozen=True)
class Revision:
    """One migration of this release."""

    name: str
    steps: tuple[Step, ...]

    @property
    def sql(self) -> str:
        """All its statements."""
        return ";\n".join(step.sql.strip().rstrip(";") for step in self.steps)

    @cached_property
    def checksum(self) -> str:
        """What tells it from an edited one; 64 hexadecimal digits."""
        return checksum(self.steps)

    @cached_property
    def losses(self) -> tuple[str, ...]:
        """What data may be lost by it, in words; nothing for one that keeps all. Judged when it was written."""
        verdict = _verdicts().get(self.name, {})
        return tuple(verdict["losses"]) if verdict.get("checksum") == self.checksum else ("was never judged",)


@cache
def _verdicts() -> dict[str, dict[str, Any]]:
    return dict(json.loads(Path(__file__).with_name("losses.json").read_text()))


@cache
def _script() -> ScriptDirectory:
    return ScriptDirectory(Path(__file__).with_name("migrations"))


@cache
def revisions() -> tuple[Revision, ...]:
    """All revisions of this release, oldest first."""
    scripts = reversed(list(_script().walk_revisions()))
    return tuple(Revision(script.revision, script.module.STEPS) for script in scripts)


def current_revision(connection: Connection) -> str | None:
    """The revision of a database, None when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def missing_revisions(current: str | None, target: str = HEAD) -> tuple[Revision, ...]:
    """What leads from one revision to another, oldest first; nothing from one of a newer release or a later one.

    Raises `LookupError` for a target that this release does not have.
    """
    known = [revision.name for revision in revisions()]
    if target not in known:
        raise LookupError(f"there is no revision {target}; there are {', '.join(known)}")
    if current is not None and current not in known:
        return ()
    done = known.index(current) + 1 if current else 0
    return revisions()[done : known.index(target) + 1]


def migrate(
    connection: Connection,
    target: str = HEAD,
    *,
    lock_timeout_ms: int = 5000,
    applying: Callable[[str], None] = lambda _revision: None,
    applied: Callable[[str], None] = lambda _revision: None,
) -> None:
    """Bring a database to `target`, each revision in a transaction of its own; `applying` and `applied` hear of each.

    `connection` must be of its own session, not through a pooler in transaction mode, and have no transaction
    open: commit a `SET ROLE` before. What `applying` raises ends the run before that revision.
    Raises `TimeoutError` when another run holds the lock for `lock_timeout_ms`, `DifferentTablesError` when tables
    of the first revision are there that are not its own, `LookupError` for a target that this release does not
    have, and SQLAlchemy's errors; what was applied before stays, and the next run goes on from there. A database
    of a newer release is left alone.
    """
    with _serialised(connection, lock_timeout_ms):
        wanted = missing_revisions(current_revision(connection), target)
        connection.rollback()
        if wanted and wanted[0] is revisions()[0] and is_at_first_revision(connection, wanted[0].steps):
            _stamp(connection, wanted[0])
            applied(wanted[0].name)
        _upgrade(connection, target, applying, applied)


def _stamp(connection: Connection, revision: Revision) -> None:
    """Say that a revision was applied, because somebody did by hand what it does."""
    MigrationContext.configure(connection).stamp(_script(), revision.name)
    record(connection, revision.name, revision.checksum)
    connection.commit()


def _upgrade(
    connection: Connection, target: str, applying: Callable[[str], None], applied: Callable[[str], None]
) -> None:
    known = {revision.name: revision for revision in revisions()}
    for revision in missing_revisions(current_revision(connection), target):
        connection.rollback()
        applying(revision.name)

        def steps(current: Any, _context: MigrationContext, to: str = revision.name) -> Any:
            return _script()._upgrade_revs(to, current)  # what Alembic's own command does

        def remember(*, ctx: MigrationContext, step: Any, **_: Any) -> None:
            assert ctx.connection is not None  # noqa: S101 - there is no mode without a server
            record(ctx.connection, step.up_revision_id, known[step.up_revision_id].checksum)

        # Without Alembic's EnvironmentContext and `op`, which are global to the process: one process may migrate
        # several databases at once, in threads.
        options = {"fn": steps, "transaction_per_migration": True, "on_version_apply": (remember,)}
        context = MigrationContext.configure(connection, opts=options)
        context.run_migrations(context=context)
        connection.commit()
        applied(revision.name)


@contextlib.contextmanager
def _serialised(connection: Connection, lock_timeout_ms: int) -> Iterator[None]:
    # A lock of the session, since each revision has a transaction of its own. Asking again and again instead of
    # waiting: a waiting statement is an open transaction, which CREATE INDEX CONCURRENTLY of the other waits for.
    deadline = time.monotonic() + lock_timeout_ms / 1000
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
        connection.rollback()
        if time.monotonic() >= deadline:
            raise TimeoutError("another migration of this database is under way; try again later")
        time.sleep(0.05)
    connection.execute(text("SELECT set_config('lock_timeout', :limit, false)"), {"limit": f"{lock_timeout_ms}ms"})
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        connection.execute(text("RESET lock_timeout"))
        connection.commit()
