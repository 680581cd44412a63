"""Erases patients: the row, the health records, and the answers that are kept to repeat them. The audit log stays.

By an administrator's request, or some time after a patient was deleted. Many records take many small statements, so an
erasure may end between two of them; the patient goes last, and whoever repeats it goes on from there.
"""

import logging
from typing import Any

import psycopg

from biospark_api.audit.entries import Entry, audited
from biospark_api.database.pool import Pool, transaction
from biospark_api.http.problems import ProblemError

log = logging.getLogger(__name__)

ACTION = "patients.erase"

_STATE = "SELECT deleted_at IS NOT NULL AS deleted FROM patients WHERE id = %s"

# Only of a patient who is deleted: nobody adds records any more, and those of others are out of reach.
_RECORDS = """
DELETE FROM health_records WHERE id IN (
    SELECT health_records.id FROM health_records JOIN patients ON patients.id = patient_id
    WHERE patient_id = %s AND deleted_at IS NOT NULL LIMIT 1000
)
"""

# The key stays until its time is over: a request that is repeated must not make the patient again.
_ANSWERS = "UPDATE idempotency_keys SET status = 410, headers = NULL, body = NULL WHERE subject = %s"

_PATIENT = audited("DELETE FROM patients WHERE id = %(id)s AND deleted_at IS NOT NULL RETURNING id")

_OVERDUE = """
SELECT id FROM patients WHERE deleted_at < now() - make_interval(days => %s) ORDER BY deleted_at LIMIT 100
"""


async def erase(pool: Pool, patient: str, entry: dict[str, Any]) -> None:
    """Erase a patient who was deleted, with an audit entry. Raises the 404 or 409 problem where there is none."""
    async with pool.connection() as connection:
        row = await (await connection.execute(_STATE, (patient,))).fetchone()
    if row is None:
        raise ProblemError(404, "There is no such resource.")
    if not row["deleted"]:
        raise ProblemError(409, "Only a deleted patient can be erased; delete the patient first.")
    while await _records_erased(pool, patient):
        pass
    async with transaction(pool) as connection:
        await connection.execute(_ANSWERS, (patient,))
        if (await connection.execute(_PATIENT, {"id": patient, **entry})).rowcount == 0:
            raise ProblemError(404, "There is no such resource.")


async def erase_overdue(pool: Pool, days: int) -> int:
    """Erase all patients who were deleted so many days ago; how many they were."""
    erased = 0
    while True:
        async with pool.connection() as connection:
            rows = await (await connection.execute(_OVERDUE, (days,))).fetchall()
        before = erased
        for row in rows:
            try:
                await erase(pool, row["id"], Entry(ACTION, "success", 204).parameters())
                erased += 1
            except (ProblemError, psycopg.errors.ForeignKeyViolation):
                continue  # another pod was faster, or a record came; the next time
        if erased == before:
            return erased


async def _records_erased(pool: Pool, patient: str) -> bool:
    async with pool.connection() as connection:
        return (await connection.execute(_RECORDS, (patient,))).rowcount > 0
