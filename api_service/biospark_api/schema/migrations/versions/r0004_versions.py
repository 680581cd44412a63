"""Versions for ETags, and patients that are deleted and still there.

A deleted patient frees its e-mail address, which has to be unique, and keeps it as `former_email`.
"""

from alembic.runtime.migration import MigrationContext

from biospark_api.schema.migrations import steps
from biospark_api.schema.migrations.steps import Script

revision = "0004"
down_revision = "0003"

_COLUMNS = """
ALTER TABLE patients
    ADD COLUMN version INTEGER NOT NULL DEFAULT 1,
    ADD COLUMN deleted_at TIMESTAMPTZ,
    ADD COLUMN former_email VARCHAR(255);
ALTER TABLE health_records ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE agents ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
"""

# Pages are ordered by these columns, which the specification lets be NULL. A check instead of NOT NULL: the
# column stays as specified, and adding the check reads no row.
_ORDERED = """
UPDATE patients SET created_at = COALESCE(updated_at, CURRENT_TIMESTAMP) WHERE created_at IS NULL;
UPDATE agents SET created_at = COALESCE(updated_at, CURRENT_TIMESTAMP) WHERE created_at IS NULL;
ALTER TABLE patients ADD CONSTRAINT patients_created_at_check CHECK (created_at IS NOT NULL) NOT VALID;
ALTER TABLE agents ADD CONSTRAINT agents_created_at_check CHECK (created_at IS NOT NULL) NOT VALID;
"""

# What is updated was NULL.
STEPS = (Script(_COLUMNS), Script(_ORDERED, keeps_data=True))


def upgrade(*, context: MigrationContext) -> None:
    """Add them."""
    steps.run(STEPS, context)
