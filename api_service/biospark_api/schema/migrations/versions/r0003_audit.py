"""The audit log. Nobody but its owner can change or remove what is in it."""

from alembic.runtime.migration import MigrationContext

from biospark_api.schema.migrations import steps
from biospark_api.schema.migrations.steps import Script

revision = "0003"
down_revision = "0002"

# No foreign keys: the log outlives what it speaks of.
_TABLE = """
CREATE TABLE audit_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    actor UUID,
    actor_role VARCHAR(20),
    action VARCHAR(50) NOT NULL,
    target UUID,
    outcome VARCHAR(20) NOT NULL,
    status INTEGER,
    request_id VARCHAR(128)
);
CREATE INDEX idx_audit_log_actor ON audit_log (actor, id);
CREATE INDEX idx_audit_log_target ON audit_log (target, id);
CREATE INDEX idx_audit_log_at ON audit_log (at);
"""

_APPEND_ONLY = steps.revoked("audit_log", "UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER")

# The DO statement takes rights away, no rows.
STEPS = (Script(_TABLE), Script(_APPEND_ONLY, keeps_data=True))


def upgrade(*, context: MigrationContext) -> None:
    """Create it."""
    steps.run(STEPS, context)
