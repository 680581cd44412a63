"""`python -m biospark_api.schema`: migrate a database by hand, where no operator does it.

The server comes from libpq's variables (PGHOST, PGUSER, PGPASSWORD, PGDATABASE, …), so that no password stands
in the arguments. Exit codes: 0 done, 1 failed.
"""

import argparse
import sys

import psycopg
from sqlalchemy import Connection, create_engine, pool, text
from sqlalchemy.exc import SQLAlchemyError

from biospark_api.schema.baseline import DifferentTablesError
from biospark_api.schema.migrator import HEAD, current_revision, migrate
from biospark_api.schema.retention import keep_audit_log
from biospark_api.schema.rights import grant_to_api


def main() -> int:
    """Migrate to the newest revision, then give the API's role its rights if one is named."""
    parser = argparse.ArgumentParser(prog="python -m biospark_api.schema", description=__doc__.partition("\n")[0])
    parser.add_argument("--owner", help="role that owns the tables; the user of the connection is a member of it")
    parser.add_argument("--api-role", help="role of the API: gets the right to read and write rows")
    parser.add_argument(
        "--audit-days",
        type=int,
        metavar="DAYS",
        help="have the API remove entries of the audit log that are older; 0 keeps all; as it was unless given",
    )
    arguments = parser.parse_args()
    engine = create_engine("postgresql+psycopg://", poolclass=pool.NullPool)
    try:
        with engine.connect() as connection:
            _run(connection, arguments.owner, arguments.api_role)
            if arguments.audit_days is not None:
                _keep(connection, arguments.audit_days)
    except (SQLAlchemyError, psycopg.Error, TimeoutError, DifferentTablesError) as error:
        print(f"the migration failed: {error}", file=sys.stderr)
        return 1
    return 0


def _run(connection: Connection, owner: str | None, api_role: str | None) -> None:
    if owner:
        connection.execute(text("SELECT set_config('role', :owner, false)"), {"owner": owner})
        connection.commit()
    migrate(connection, applied=lambda revision: print(f"applied {revision}"))
    print(f"the schema is at revision {current_revision(connection)}; this release needs {HEAD}")
    connection.rollback()
    if api_role:
        driver = connection.connection.driver_connection
        grant_to_api(driver, api_role)  # type: ignore[arg-type]  # psycopg's, as the URL says
        print(f"granted to {api_role}")


def _keep(connection: Connection, days: int) -> None:
    driver = connection.connection.driver_connection
    keep_audit_log(driver, days or None)  # type: ignore[arg-type]  # psycopg's, as the URL says
    print(f"the audit log is kept for {days} days" if days else "the audit log is kept")


if __name__ == "__main__":
    sys.exit(main())
