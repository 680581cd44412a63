"""What the database role of the API may do: read and write rows, nothing about the schema.

The audit log can be added to and read, not changed. Whoever migrates calls `grant_to_api` after each migration;
it also takes away what default privileges or an earlier grant gave too much.
"""

from collections.abc import Mapping
from types import MappingProxyType

from psycopg import Connection, sql

_ROWS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})

API_PRIVILEGES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "agents": _ROWS,
        "alembic_version": frozenset({"SELECT"}),
        "audit_log": frozenset({"SELECT", "INSERT"}),
        "health_records": _ROWS,
        "idempotency_keys": _ROWS,
        "login_failures": _ROWS,
        "patients": _ROWS,
        "refresh_tokens": _ROWS,
        "revoked_tokens": _ROWS,
        "sessions": _ROWS,
        "users": _ROWS,
    }
)
"""Privileges by table of the schema `public`."""


def grant_to_api(connection: "Connection[object]", role: str) -> None:
    """Give `role` exactly the privileges of the API, in one transaction. Needs the owner of the tables.

    Raises `psycopg.Error`, for instance when a table does not exist yet.
    """
    grantee = sql.Identifier(role)
    with connection.transaction():
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(grantee))
        for table, privileges in sorted(API_PRIVILEGES.items()):
            name = sql.Identifier("public", table)
            connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(name, grantee))
            connection.execute(
                sql.SQL("GRANT {} ON {} TO {}").format(
                    sql.SQL(", ").join(map(sql.SQL, sorted(privileges))), name, grantee
                )
            )
