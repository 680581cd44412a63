"""The SQL of health records."""

from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from biospark_api.audit.entries import audited
from biospark_api.database.conditions import matching
from biospark_api.database.connection import Connection, Row
from biospark_api.http.paging import bounded

_SHOWN = "id, patient_id, record_type, data, recorded_at, created_at"

_CONDITIONS = {
    "type": "record_type = %(type)s",
    "since": "recorded_at >= %(since)s::timestamptz::timestamp",
    "until": "recorded_at < %(until)s::timestamptz::timestamp",
    "data": "data @> %(data)s",
    "after_id": "(recorded_at, id) < (%(after_moment)s::timestamptz::timestamp, %(after_id)s::uuid)",
}

_PATIENT = "SELECT deleted_at IS NOT NULL AS deleted FROM patients WHERE id = %s"

_GET = f"SELECT {_SHOWN}, version FROM health_records WHERE id = %s AND patient_id = %s"

_CREATE = audited(f"""
INSERT INTO health_records (patient_id, record_type, data, recorded_at)
SELECT id, %(record_type)s, %(data)s, %(recorded_at)s::timestamptz::timestamp
FROM patients WHERE id = %(patient)s AND deleted_at IS NULL
RETURNING {_SHOWN}, version
""")


async def patient(connection: Connection, patient: str) -> DictRow | None:
    """Whether a patient is there or `deleted`."""
    return await (await connection.execute(_PATIENT, (patient,))).fetchone()


async def page(connection: Connection, patient: str, filters: dict[str, Any]) -> list[Row]:
    """Records of a patient that match all filters, the newest first: a `bounded` page."""
    if filters.get("data") is not None:
        filters = {**filters, "data": Jsonb(filters["data"])}
    source = f"health_records WHERE patient_id = %(patient)s AND {matching(_CONDITIONS, filters)}"
    query = bounded(_SHOWN, "data", source, "recorded_at DESC, id DESC")
    return await connection.rows(query, {**filters, "patient": patient})


async def get(connection: Connection, patient: str, record: str) -> DictRow | None:
    """A record with `version`."""
    return await (await connection.execute(_GET, (record, patient))).fetchone()


async def create(connection: Connection, patient: str, values: dict[str, Any], entry: dict[str, Any]) -> DictRow | None:
    """A new record with `version`; None if there is no such patient."""
    parameters = {**values, "data": Jsonb(values["data"]), "patient": patient, **entry}
    return await (await connection.execute(_CREATE, parameters)).fetchone()
