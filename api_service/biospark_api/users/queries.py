"""The SQL of users."""

from typing import Any

from psycopg.rows import DictRow

from biospark_api.audit.entries import audited
from biospark_api.database.conditions import matching
from biospark_api.database.connection import Connection, Row
from biospark_api.database.pool import Pool

_SHOWN = "id, email, role, active, created_at, updated_at"

_CONDITIONS = {"after_id": "(created_at, id) < (%(after_moment)s::timestamptz, %(after_id)s::uuid)"}

_GET = f"SELECT {_SHOWN}, version FROM users WHERE id = %s"

_CREATE = audited(f"""
INSERT INTO users (email, password_hash, role) VALUES (%(email)s, %(hash)s, %(role)s) RETURNING {_SHOWN}, version
""")

# A disabled user's tokens end: those that exist carry the generation before.
_CHANGE = audited(f"""
UPDATE users SET role = coalesce(%(role)s, role), active = coalesce(%(active)s, active),
                 token_generation = token_generation + CASE WHEN %(active)s IS FALSE THEN 1 ELSE 0 END,
                 version = version + 1, updated_at = now()
WHERE id = %(id)s AND (%(versions)s::int[] IS NULL OR version = ANY(%(versions)s::int[]))
RETURNING {_SHOWN}, version
""")

# Locked in one order, so that two administrators who disable each other do not both succeed.
_ADMINISTRATORS = "SELECT id FROM users WHERE role = 'admin' AND active ORDER BY id FOR UPDATE"


async def page(pool: Pool, filters: dict[str, Any]) -> list[Row]:
    """Users, the newest first."""
    query = f"""
    SELECT {_SHOWN} FROM users WHERE {matching(_CONDITIONS, filters)}
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s
    """
    async with pool.connection() as connection:
        return await connection.rows(query, filters)


async def get(connection: Connection, user: str) -> DictRow | None:
    """A user with `version`."""
    return await (await connection.execute(_GET, (user,))).fetchone()


async def create(connection: Connection, values: dict[str, Any], entry: dict[str, Any]) -> DictRow:
    """A new user with `version`; raises UniqueViolation for an address that another one has."""
    row = await (await connection.execute(_CREATE, {**values, **entry})).fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING
    return row


async def lock_administrators(connection: Connection) -> set[str]:
    """The ids of all who can administrate; none of them changes until the end of the transaction."""
    return {row["id"] for row in await (await connection.execute(_ADMINISTRATORS)).fetchall()}


async def change(
    connection: Connection, user: str, values: dict[str, Any], versions: list[int] | None, entry: dict[str, Any]
) -> DictRow | None:
    """The changed user with `version`; None if there is none, or none of these versions."""
    parameters = {"id": user, "versions": versions, "role": None, "active": None, **values, **entry}
    return await (await connection.execute(_CHANGE, parameters)).fetchone()
