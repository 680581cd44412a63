"""Whether the database can be used: it answers, and its schema is at least the one of this release.

A newer schema is fine, since migrations keep what the release before uses. The probes come every few seconds
from every node, and `/readyz` can be called by anybody, so an answer is good for a second. It is asked on a connection
that callers leave free: who uses up the others does not take this pod out of service, and its fellows after it.
"""

import time

import psycopg

from biospark_api.database.errors import is_lost
from biospark_api.database.pool import Pool
from biospark_api.readiness import NotReadyError

NEEDED = "0009"
"""The newest revision of `biospark_api.schema`, which is not imported: the running service needs no migrations."""

_GOOD_FOR = 1.0
_WAIT = 1.5
_AWAY = "The database cannot be used now."


class SchemaCheck:
    """The readiness check of the database and its schema."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._passed: float | None = None

    async def __call__(self) -> None:
        """Raise `NotReadyError` with the reason."""
        if self._passed is not None and time.monotonic() - self._passed < _GOOD_FOR:
            return
        self._passed = None
        try:
            revision = await self._revision()
        except psycopg.Error as error:
            if not is_lost(error):
                raise NotReadyError(_AWAY) from None
            revision = await self._again()  # it may be that connection alone, as after a failover
        except OSError:
            raise NotReadyError(_AWAY) from None
        if revision is None or revision < NEEDED:
            raise NotReadyError(f"The schema is at revision {revision or 'none'}; this release needs {NEEDED}.")
        self._passed = time.monotonic()

    async def _again(self) -> str | None:
        try:
            return await self._revision()
        except (psycopg.Error, OSError):
            raise NotReadyError(_AWAY) from None

    async def _revision(self) -> str | None:
        try:
            async with self._pool.connection(timeout=_WAIT) as connection:
                row = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        return str(row["version_num"]) if row else None
