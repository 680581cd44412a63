"""What ran in a database: revision and checksum, so that a revision which was edited afterwards is noticed.

Alembic's own table knows the newest revision only. A database that was migrated before this table existed, or by
other means, has no entries for what ran then: of those nothing can be said, and nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

HISTORY = "schema_history"
_CREATE = f"""
CREATE TABLE IF NOT EXISTS public.{HISTORY} (
    revision VARCHAR(32) PRIMARY KEY,
    checksum VARCHAR(64) NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""


def record(connection: Connection, revision: str, checksum: str) -> None:
    """Remember a revision, in the transaction that applied it."""
    if not connection.scalar(text("SELECT to_regclass(:table)"), {"table": f"public.{HISTORY}"}):
        connection.execute(text(_CREATE))
    connection.execute(
        text(f"INSERT INTO public.{HISTORY} (revision, checksum) VALUES (:revision, :checksum)"),  # noqa: S608
        {"revision": revision, "checksum": checksum},
    )


def edited(applied: Mapping[str, str], known: Mapping[str, str]) -> tuple[str, ...]:
    """The revisions of which another version ran; both maps are revision to checksum."""
    return tuple(sorted(name for name, checksum in applied.items() if known.get(name, checksum) != checksum))
