"""Indexes that are built while the table is written to."""

from alembic.runtime.migration import MigrationContext


def create_index(context: MigrationContext, name: str, definition: str) -> None:
    """Build an index without blocking writers, outside of the migration's transaction.

    `definition` is what follows the name in CREATE INDEX. What an interrupted build left behind is invalid and
    built again.
    """
    connection = context.connection
    assert connection is not None  # noqa: S101 - there is no mode without a server
    with context.autocommit_block():
        invalid = connection.exec_driver_sql(
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid", (f"public.{name}",)
        )
        if invalid.first():
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
        connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} {definition}")
