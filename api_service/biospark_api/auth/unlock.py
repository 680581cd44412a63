"""`python -m biospark_api.auth.unlock`: let an account log in at once, where no administrator can do it by the API.

Run it where the service runs, with its settings. Exit codes: 0 done, 1 failed, 2 wrong settings.
"""

import argparse
import asyncio
import sys

import psycopg

from biospark_api.audit.entries import Entry
from biospark_api.auth import queries
from biospark_api.database.pool import connected
from biospark_api.security.throttle import account_of
from biospark_api.settings import InvalidSettingsError, Settings, load_settings, variable
from biospark_api.sources import SourceError, secrets_of


def main() -> int:
    """Forget the wrong passwords of an account, or of all and of all addresses."""
    parser = argparse.ArgumentParser(
        prog="python -m biospark_api.auth.unlock", description=(__doc__ or "").partition("\n")[0]
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("email", nargs="?", help="address that the account logs in with")
    which.add_argument("--all", action="store_true", help="all accounts, and all addresses")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
    except InvalidSettingsError as error:
        return _failed(2, *error.lines)
    if settings.database_host is None:
        return _failed(2, f"{variable('database_host')}: must be set")
    try:
        known = asyncio.run(_unlock(settings, None if arguments.all else arguments.email.lower()))
    except (psycopg.Error, SourceError, OSError) as error:
        # Messages of the server may quote values.
        return _failed(1, f"the database cannot be used now ({type(error).__name__})")
    return 0 if known else _failed(1, "there is no user with this address")


async def _unlock(settings: Settings, email: str | None) -> bool:
    entry = Entry("users.unlock", "success", 204).parameters()
    async with connected(settings, secrets_of(settings)) as connection, connection.transaction():
        if email is None:
            await queries.forget_all_attempts(connection, entry)
            return True
        user = await queries.id_of(connection, email)
        if user is not None:
            await queries.forget_attempts(connection, account_of(email), user, entry)
        return user is not None


def _failed(code: int, *lines: str) -> int:
    for line in lines:
        print(f"unlock: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
