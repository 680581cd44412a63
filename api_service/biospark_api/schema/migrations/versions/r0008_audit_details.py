"""The audit log says whom a list or search showed and where a request came from, and for how long it is kept.

How long is the owner's decision: it stands in a table that the API's role can only read, and the function that removes
what is older obeys that table alone. So whoever has the API's role can neither shorten the log nor choose what goes.
"""

from alembic.runtime.migration import MigrationContext

from biospark_api.schema.migrations import steps
from biospark_api.schema.migrations.steps import OnlineIndex, Script

revision = "0008"
down_revision = "0007"

_COLUMNS = "ALTER TABLE audit_log ADD COLUMN address INET, ADD COLUMN shown UUID[]"

_RETENTION = """
CREATE TABLE retention (
    subject VARCHAR(50) PRIMARY KEY,
    days INTEGER NOT NULL CONSTRAINT retention_days_check CHECK (days > 0)
);
"""
_READ_ONLY = steps.revoked("retention", "INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER").rstrip()

# As its owner, who may do what its caller may not. Anybody may call it: it only does what the owner has decided.
_PURGE = """
CREATE FUNCTION public.purge_audit_log(most integer) RETURNS integer
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (
        DELETE FROM public.audit_log WHERE id IN (
            SELECT entry.id FROM public.audit_log AS entry JOIN public.retention ON retention.subject = 'audit_log'
            WHERE entry.at < now() - make_interval(days => retention.days)
            ORDER BY entry.at LIMIT least(greatest(most, 0), 10000) FOR UPDATE OF entry SKIP LOCKED
        ) RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;
GRANT EXECUTE ON FUNCTION public.purge_audit_log(integer) TO PUBLIC;
"""

# The DO statement takes rights away.
STEPS = (
    Script(_COLUMNS),
    Script(f"{_RETENTION}{_READ_ONLY};", keeps_data=True),
    Script(_PURGE),
    OnlineIndex("idx_audit_log_shown", "ON audit_log USING gin (shown)"),
)


def upgrade(*, context: MigrationContext) -> None:
    """Add them."""
    steps.run(STEPS, context)
