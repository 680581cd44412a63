"""SQL scripts of migrations, run as they are written."""

from alembic.runtime.migration import MigrationContext


def run(context: MigrationContext, script: str) -> None:
    """Run one or several statements without parameters, in the transaction of the migration."""
    assert context.connection is not None  # noqa: S101 - there is no mode without a server
    # Past SQLAlchemy, which would take the colons of JSON for parameters.
    context.connection.exec_driver_sql(script)
