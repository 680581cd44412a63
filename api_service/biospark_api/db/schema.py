"""Runs the migrations over a connection that the caller made, and says how far a database is.

The caller decides about server, role and TLS; a migrator that is a member of the owner calls `SET ROLE` first.
Runs are serialised by an advisory lock, and a table that is in use is waited for briefly, never long: a waiting
ALTER TABLE would block all reads behind it.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from biospark_api.db.tables import METADATA

_LOCK = 0x62696F737061726B
"""Key of the advisory lock: "biospark" in ASCII."""


HEAD = "0005"
"""The revision that this release of the API needs."""


def _script() -> ScriptDirectory:
    return ScriptDirectory(Path(__file__).with_name("migrations"))


def revisions() -> tuple[str, ...]:
    """All revisions of this release, oldest first."""
    return tuple(revision.revision for revision in reversed(list(_script().walk_revisions())))


def current_revision(connection: Connection) -> str | None:
    """The revision of a database, None when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def missing_revisions(connection: Connection, target: str = HEAD) -> tuple[str, ...]:
    """What `migrate` would apply, oldest first; nothing for a database of a newer release."""
    known = revisions()
    current = current_revision(connection)
    if current is not None and current not in known:
        return ()
    done = known.index(current) + 1 if current else 0
    return known[done : known.index(target) + 1]


def migrate(
    connection: Connection,
    target: str = HEAD,
    *,
    lock_timeout_ms: int = 5000,
    applied: Callable[[str], None] = lambda _revision: None,
) -> None:
    """Bring a database to `target`, each revision in a transaction of its own; `applied` hears of each.

    `connection` must be of its own session, not through a pooler in transaction mode, and have no transaction
    open: commit a `SET ROLE` before.
    Raises `TimeoutError` when another run holds the lock for `lock_timeout_ms`, and SQLAlchemy's errors; what
    was applied before stays, and the next run goes on from there. A database of a newer release is left alone.
    """
    with _serialised(connection, lock_timeout_ms):
        wanted = missing_revisions(connection, target)
        connection.rollback()
        if wanted:
            _upgrade(connection, target, applied)


def _upgrade(connection: Connection, target: str, applied: Callable[[str], None]) -> None:
    script = _script()

    def steps(current: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs(target, current)  # what Alembic's own command does

    def tell(*, step: Any, **_: Any) -> None:
        applied(step.up_revision_id)

    # Without Alembic's EnvironmentContext and `op`, which are global to the process: one process may migrate
    # several databases at once, in threads.
    options = {"fn": steps, "transaction_per_migration": True, "on_version_apply": (tell,)}
    context = MigrationContext.configure(connection, opts=options)
    context.run_migrations(context=context)
    connection.commit()


def differences(connection: Connection) -> list[Any]:
    """How tables, columns, types, defaults and indexes differ from the schema, as Alembic says it."""

    def ours(_object: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
        return kind != "table" or name in METADATA.tables

    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True, "include_object": ours}
    )
    return list(compare_metadata(context, METADATA))


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
