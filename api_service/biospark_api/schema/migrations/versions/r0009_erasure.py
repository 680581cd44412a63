"""What the erasure of a patient needs: answers that are kept for a while by the patient they speak of, and an index
of patients who were deleted.
"""

from alembic.runtime.migration import MigrationContext

from biospark_api.schema.migrations import steps
from biospark_api.schema.migrations.steps import OnlineIndex, Script

revision = "0009"
down_revision = "0008"

STEPS = (
    Script("ALTER TABLE idempotency_keys ADD COLUMN subject UUID"),
    OnlineIndex("idx_idempotency_keys_subject", "ON idempotency_keys (subject) WHERE subject IS NOT NULL"),
    OnlineIndex("idx_patients_deleted_at", "ON patients (deleted_at) WHERE deleted_at IS NOT NULL"),
)


def upgrade(*, context: MigrationContext) -> None:
    """Add them."""
    steps.run(STEPS, context)
