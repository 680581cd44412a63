"""What a migration consists of: steps as data, so that they can be shown, judged and told apart before they run.

A revision has its steps in `STEPS`. All of them run in one transaction, but for indexes that are built while the
table is written to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from alembic.runtime.migration import MigrationContext


@dataclass(frozen=True, slots=True)
class Script:
    """One or several SQL statements without parameters, run as they are written.

    `keeps_data` is the word of the author that nothing is lost by statements of which no parser can tell, such as
    UPDATE and DO; see `losses`.
    """

    sql: str
    keeps_data: bool = False

    def run(self, context: MigrationContext) -> None:
        """Run it in the transaction of the migration."""
        assert context.connection is not None  # noqa: S101 - there is no mode without a server
        # Past SQLAlchemy, which would take the colons of JSON for parameters.
        context.connection.exec_driver_sql(self.sql)


@dataclass(frozen=True, slots=True)
class OnlineIndex:
    """An index that is built without blocking writers; `definition` is what follows its name in CREATE INDEX."""

    name: str
    definition: str

    keeps_data = True

    @property
    def sql(self) -> str:
        """The statement that builds it."""
        return f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {self.name} {self.definition}"

    def run(self, context: MigrationContext) -> None:
        """Build it outside of the migration's transaction; what an interrupted build left behind is built again."""
        connection = context.connection
        assert connection is not None  # noqa: S101 - there is no mode without a server
        with context.autocommit_block():
            invalid = connection.exec_driver_sql(
                "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid", (f"public.{self.name}",)
            )
            if invalid.first():
                connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {self.name}")
            connection.exec_driver_sql(self.sql)


Step = Script | OnlineIndex


def revoked(table: str, privileges: str) -> str:
    """The statement that takes privileges on a new table from everybody but its owner, and all from PUBLIC.

    Default privileges may give the API's role, whatever its name, every right on each new table. Its text is in the
    checksums of revisions, so it never changes.
    """
    return f"""
DO $$
DECLARE grantee regrole;
BEGIN
    FOR grantee IN
        SELECT DISTINCT entry.grantee::regrole
        FROM pg_class, aclexplode(relacl) AS entry
        WHERE pg_class.oid = '{table}'::regclass AND entry.grantee NOT IN (0, relowner)
    LOOP
        EXECUTE 'REVOKE {privileges} ON {table} FROM ' || grantee;
    END LOOP;
    REVOKE ALL ON {table} FROM PUBLIC;
END $$
"""  # noqa: S608 - names of ours


def run(steps: Sequence[Step], context: MigrationContext) -> None:
    """Run the steps of a revision, one after another."""
    for step in steps:
        step.run(context)


def checksum(steps: Sequence[Step]) -> str:
    """What tells a revision from an edited one: SHA-256 of its statements, however they are indented."""
    text = ";".join(" ".join(step.sql.split()) for step in steps)
    return hashlib.sha256(text.encode()).hexdigest()
