"""What roles may do with the tables: rows, nothing about the schema.

The API can add to the audit log and read it, not change it. Readers, who probe and report, see nothing that helps
to log in as somebody. Whoever migrates runs `statements` afterwards; they also take away what default privileges
or an earlier grant gave too much.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from psycopg import Connection, sql

_ROWS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_READ = frozenset({"SELECT"})
_NONE: frozenset[str] = frozenset()

Privileges = Mapping[str, frozenset[str]]
"""Privileges by table of the schema `public`."""

API_PRIVILEGES: Privileges = MappingProxyType(
    {
        "agents": _ROWS,
        "alembic_version": _READ,
        "audit_log": frozenset({"SELECT", "INSERT"}),
        "familiar_addresses": _ROWS,
        "health_records": _ROWS,
        "idempotency_keys": _ROWS,
        "login_attempts": _ROWS,
        "login_failures": _ROWS,
        "patients": _ROWS,
        "refresh_tokens": _ROWS,
        "retention": _READ,
        "revoked_tokens": _ROWS,
        "schema_history": _READ,
        "sessions": _ROWS,
        "users": _ROWS,
    }
)

READER_PRIVILEGES: Privileges = MappingProxyType(
    {
        **dict.fromkeys(API_PRIVILEGES, _READ),
        # Hashes of passwords, tokens and addresses, and answers that the API keeps for a while.
        "familiar_addresses": _NONE,
        "idempotency_keys": _NONE,
        "login_attempts": _NONE,
        "refresh_tokens": _NONE,
        "users": _NONE,
    }
)


def statements(role: str, wanted: Privileges, found: Privileges | None = None) -> list[sql.Composed]:
    """What gives `role` exactly the `wanted` privileges; with `found`, only what that takes for these tables."""
    grantee, made = sql.Identifier(role), []
    for table, privileges in sorted(wanted.items()):
        if found is not None and found.get(table) in (None, privileges):
            continue
        name = sql.Identifier("public", table)
        made.append(sql.SQL("REVOKE ALL ON {} FROM {}").format(name, grantee))
        if privileges:
            listed = sql.SQL(", ").join(map(sql.SQL, sorted(privileges)))
            made.append(sql.SQL("GRANT {} ON {} TO {}").format(listed, name, grantee))
    return made


def grant_to_api(connection: Connection[object], role: str) -> None:
    """Give `role` exactly the privileges of the API, in one transaction. Needs the owner of the tables.

    Raises `psycopg.Error`, for instance when a table does not exist yet.
    """
    with connection.transaction():
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(role)))
        for statement in statements(role, API_PRIVILEGES):
            connection.execute(statement)
