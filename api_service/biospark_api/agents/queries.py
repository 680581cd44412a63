"""The SQL of agents."""

from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from biospark_api.audit.entries import audited
from biospark_api.database.conditions import matching
from biospark_api.database.connection import Connection, Row
from biospark_api.database.pool import Pool
from biospark_api.http.paging import bounded

_SHOWN = "id, name, type, config, status, created_at, updated_at"

_CONDITIONS = {
    "type": "type = %(type)s",
    "status": "status = %(status)s",
    "after_id": "(created_at, id) < (%(after_moment)s::timestamptz::timestamp, %(after_id)s::uuid)",
}

_GET = f"SELECT {_SHOWN}, version FROM agents WHERE id = %s"


def _change(columns: tuple[str, ...]) -> str:
    assignments = "".join(f"{column} = %({column})s, " for column in columns)
    return audited(f"""
    UPDATE agents SET {assignments}version = version + 1, updated_at = CURRENT_TIMESTAMP
    WHERE id = %(id)s AND (%(versions)s::int[] IS NULL OR version = ANY(%(versions)s::int[]))
    RETURNING {_SHOWN}, version
    """)


async def page(pool: Pool, filters: dict[str, Any]) -> list[Row]:
    """Agents that match all filters, the newest first: a `bounded` page."""
    query = bounded(_SHOWN, "config", f"agents WHERE {matching(_CONDITIONS, filters)}", "created_at DESC, id DESC")
    async with pool.connection() as connection:
        return await connection.rows(query, filters)


async def get(connection: Connection, agent: str) -> DictRow | None:
    """An agent with `version`."""
    return await (await connection.execute(_GET, (agent,))).fetchone()


async def change(
    connection: Connection, agent: str, values: dict[str, Any], versions: list[int] | None, entry: dict[str, Any]
) -> DictRow | None:
    """The changed agent with `version`; None if there is none, or none of these versions."""
    columns = tuple(column for column in ("status", "config") if column in values)
    if values.get("config") is not None:
        values = {**values, "config": Jsonb(values["config"])}
    parameters = {"id": agent, "versions": versions, **values, **entry}
    return await (await connection.execute(_change(columns), parameters)).fetchone()
