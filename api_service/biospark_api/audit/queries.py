"""The SQL of the audit log."""

from collections.abc import Sequence
from typing import Any

import msgspec

from biospark_api.audit.entries import Entry
from biospark_api.database.conditions import matching
from biospark_api.database.connection import Row
from biospark_api.database.pool import Pool

# As one document: parameters of hundreds of entries take longer to make than to insert. What was shown is a text in
# there, which PostgreSQL reads as an array.
_ADD = """
INSERT INTO audit_log (actor, actor_role, action, target, outcome, status, request_id, address, shown)
SELECT actor, actor_role, action, target, outcome, status, request_id, address, shown FROM json_to_recordset(%s::json)
AS entry (
    actor uuid, actor_role text, action text, target uuid, outcome text, status int, request_id text, address inet,
    shown uuid[]
)
"""

_COLUMNS = "id, at, actor, actor_role, action, target, outcome, status, request_id, host(address) AS address, shown"

_CONDITIONS = {
    "before": "id < %(before)s",
    "actor": "actor = %(actor)s",
    "target": "target = %(target)s",
    "shown": "shown @> ARRAY[%(shown)s::uuid]",
    "address": "address = %(address)s::inet",
    "action": "action = %(action)s",
    "outcome": "outcome = %(outcome)s",
    "since": "at >= %(since)s",
    "until": "at < %(until)s",
}


async def add(pool: Pool, entries: Sequence[Entry]) -> None:
    """Write a batch, all or nothing."""
    document = msgspec.json.encode(entries).decode()
    async with pool.connection() as connection:
        await connection.execute(_ADD, (document,))


async def entries(pool: Pool, filters: dict[str, Any], limit: int) -> list[Row]:
    """The newest entries that match."""
    query = f"SELECT {_COLUMNS} FROM audit_log WHERE {matching(_CONDITIONS, filters)} ORDER BY id DESC LIMIT %(limit)s"
    async with pool.connection() as connection:
        return await connection.rows(query, {**filters, "limit": limit})
