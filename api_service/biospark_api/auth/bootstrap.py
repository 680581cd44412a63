"""The first administrator, without whom nobody could log in to make users."""

import asyncio
import logging

import psycopg

from biospark_api.auth import queries
from biospark_api.database.pool import Pool
from biospark_api.security.passwords import Passwords
from biospark_api.settings import Settings

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


async def ensure_administrator(settings: Settings, pool: Pool, passwords: Passwords) -> None:
    """Make the administrator of the settings once the database is there, if it has none."""
    email, password = settings.bootstrap_admin_email, settings.bootstrap_admin_password
    if email is None or password is None:
        return
    while True:
        try:
            if await queries.has_administrator(pool):
                return
            stored = await passwords.hash(password.get_secret_value())
            if await queries.add_first_administrator(pool, email, stored):
                log.info("The first administrator was made")
        except psycopg.Error:
            # The database is away or not migrated yet; readiness says which.
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return
