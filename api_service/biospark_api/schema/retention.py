"""How long the audit log is kept: the owner's decision, which the API carries out and cannot change."""

from __future__ import annotations

from psycopg import Connection

AUDIT_LOG = "audit_log"


def keep_audit_log(connection: Connection[object], days: int | None) -> None:
    """Have entries removed that are older than so many days; None keeps all. Needs the owner of the tables.

    Raises `psycopg.Error`, for instance for a number that is not positive.
    """
    with connection.transaction():
        connection.execute("DELETE FROM public.retention WHERE subject = %s", (AUDIT_LOG,))
        if days is not None:
            connection.execute("INSERT INTO public.retention (subject, days) VALUES (%s, %s)", (AUDIT_LOG, days))
