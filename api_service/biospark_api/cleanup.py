"""Removes what has expired: sessions, refused tokens, counters, idempotency keys; where it was decided, also old
entries of the audit log and patients who were deleted long ago.

All pods do it, at times of their own; two at once only share the work.
"""

import asyncio
import logging
import random

import psycopg

from biospark_api.database.pool import Pool
from biospark_api.patients.erasure import erase_overdue

log = logging.getLogger(__name__)

_EVERY_SECONDS = 900
_BATCH = 1000
# Table, key, and how long after its end a row is still needed: a session as long as a token that refers to it
# may live (7 days, the limit of the setting).
_EXPIRING = (
    ("refresh_tokens", "token_hash", "7 days"),
    ("sessions", "id", "7 days"),
    ("revoked_tokens", "jti", "0"),
    ("login_failures", "subject", "0"),
    ("login_attempts", "account, address", "0"),
    ("familiar_addresses", "account, address", "0"),
    ("idempotency_keys", "user_id, key", "0"),
)


async def run_cleanup(pool: Pool, erase_deleted_days: int | None) -> None:
    """Remove now and then until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - only spreads the load
        try:
            await remove_expired(pool)
            await purge_audit_log(pool)
            if erase_deleted_days is not None:
                await erase_overdue(pool, erase_deleted_days)
        except psycopg.Error:
            log.warning("Expired rows could not be removed; trying again later")


async def remove_expired(pool: Pool) -> int:
    """Remove all expired rows in small statements; how many they were."""
    removed = 0
    for table, key, grace in _EXPIRING:
        statement = (
            f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} "  # noqa: S608 - names from above
            f"WHERE expires_at < now() - interval '{grace}' LIMIT {_BATCH} FOR UPDATE SKIP LOCKED)"
        )
        while True:
            async with pool.connection() as connection:
                count = (await connection.execute(statement)).rowcount
            removed += count
            if count < _BATCH:
                break
    return removed


async def purge_audit_log(pool: Pool) -> int:
    """Remove entries that are older than the owner of the database has decided; how many they were."""
    removed = 0
    while True:
        async with pool.connection() as connection:
            row = await (await connection.execute("SELECT purge_audit_log(%s) AS removed", (_BATCH,))).fetchone()
        count = row["removed"] if row else 0
        removed += count
        if count < _BATCH:
            break
    if removed:
        log.info("Old entries of the audit log were removed", extra={"entries": removed})
    return removed
