"""The SQL of patients. A deleted patient is still there, and no query but `state` sees it."""

from typing import Any

from psycopg.rows import DictRow

from biospark_api.audit.entries import audited
from biospark_api.database.conditions import matching
from biospark_api.database.connection import Connection, Row
from biospark_api.database.pool import Pool

COLUMNS = ("first_name", "last_name", "date_of_birth", "email", "phone")
_SHOWN = f"id, {', '.join(COLUMNS)}, created_at, updated_at"

_BY_OFFSET = f"""
SELECT {_SHOWN} FROM patients WHERE deleted_at IS NULL
ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
"""

_BY_CURSOR = f"""
SELECT {_SHOWN} FROM patients
WHERE deleted_at IS NULL AND (created_at, id) < (%(after_moment)s::timestamptz::timestamp, %(after_id)s::uuid)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""

_COUNT = "SELECT count(*) AS n FROM patients WHERE deleted_at IS NULL"

# reltuples is -1 until the table was analysed for the first time.
_ESTIMATE = "SELECT reltuples::bigint AS n FROM pg_class WHERE oid = 'patients'::regclass"

_CONDITIONS = {
    "name": "(folded_name(last_name) LIKE folded_name(%(name)s) OR folded_name(first_name) LIKE folded_name(%(name)s))",
    "date_of_birth": "date_of_birth = %(date_of_birth)s",
    "email": "email = %(email)s",
    "after_id": "(created_at, id) < (%(after_moment)s::timestamptz::timestamp, %(after_id)s::uuid)",
}

_GET = f"SELECT {_SHOWN}, version, deleted_at IS NOT NULL AS deleted FROM patients WHERE id = %s"

_CREATE = audited(f"""
INSERT INTO patients (first_name, last_name, date_of_birth, email, phone)
VALUES (%(first_name)s, %(last_name)s, %(date_of_birth)s, %(email)s, %(phone)s)
RETURNING {_SHOWN}, version
""")

_EXPECTED = "id = %(id)s AND deleted_at IS NULL AND (%(versions)s::int[] IS NULL OR version = ANY(%(versions)s::int[]))"

_DELETE = audited(f"""
UPDATE patients SET deleted_at = now(), former_email = email, email = NULL, version = version + 1,
                    updated_at = CURRENT_TIMESTAMP
WHERE {_EXPECTED} RETURNING id
""")


def _change(columns: tuple[str, ...]) -> str:
    assignments = "".join(f"{column} = %({column})s, " for column in columns)
    return audited(f"""
    UPDATE patients SET {assignments}version = version + 1, updated_at = CURRENT_TIMESTAMP
    WHERE {_EXPECTED} RETURNING {_SHOWN}, version
    """)


async def page(pool: Pool, parameters: dict[str, Any]) -> list[Row]:
    """Patients, the newest first, after an offset or a cursor."""
    query = _BY_CURSOR if parameters["after_id"] else _BY_OFFSET
    async with pool.connection() as connection:
        return await connection.rows(query, parameters)


async def count(pool: Pool, *, exact: bool) -> int:
    """How many there are; the estimate may count deleted ones and be some minutes old."""
    async with pool.connection() as connection:
        row = await (await connection.execute(_COUNT if exact else _ESTIMATE)).fetchone()
        if row is None or row["n"] < 0:
            row = await (await connection.execute(_COUNT)).fetchone()
    return int(row["n"]) if row else 0


async def search(pool: Pool, filters: dict[str, Any]) -> list[Row]:
    """Patients that match all filters, the newest first."""
    query = f"""
    SELECT {_SHOWN} FROM patients WHERE deleted_at IS NULL AND {matching(_CONDITIONS, filters)}
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s
    """
    async with pool.connection() as connection:
        return await connection.rows(query, filters)


async def get(connection: Connection, patient: str) -> DictRow | None:
    """A patient with `version` and `deleted`."""
    return await (await connection.execute(_GET, (patient,))).fetchone()


async def create(connection: Connection, values: dict[str, Any], entry: dict[str, Any]) -> DictRow:
    """A new patient with `version`; raises UniqueViolation for an address that another one has."""
    row = await (await connection.execute(_CREATE, {**values, **entry})).fetchone()
    assert row is not None  # noqa: S101 - INSERT … RETURNING
    return row


async def change(
    connection: Connection,
    patient: str,
    values: dict[str, Any],
    versions: list[int] | None,
    entry: dict[str, Any],
) -> DictRow | None:
    """The changed patient with `version`; None if there is none, or none of these versions."""
    columns = tuple(column for column in COLUMNS if column in values)
    parameters = {"id": patient, "versions": versions, **values, **entry}
    return await (await connection.execute(_change(columns), parameters)).fetchone()


async def delete(connection: Connection, patient: str, versions: list[int] | None, entry: dict[str, Any]) -> bool:
    """Whether there was such a patient, of these versions."""
    parameters = {"id": patient, "versions": versions, **entry}
    return (await connection.execute(_DELETE, parameters)).rowcount == 1
