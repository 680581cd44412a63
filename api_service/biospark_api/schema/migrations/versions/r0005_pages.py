"""Indexes for pages by cursor and for the search for patients."""

from alembic.runtime.migration import MigrationContext

from biospark_api.schema.migrations import steps
from biospark_api.schema.migrations.steps import OnlineIndex

revision = "0005"
down_revision = "0004"

STEPS = (
    OnlineIndex("idx_patients_page", "ON patients (created_at DESC, id DESC)"),
    OnlineIndex("idx_patients_date_of_birth", "ON patients (date_of_birth)"),
    OnlineIndex("idx_patients_last_name", "ON patients (lower(last_name) text_pattern_ops)"),
    OnlineIndex("idx_patients_first_name", "ON patients (lower(first_name) text_pattern_ops)"),
    OnlineIndex("idx_health_records_page", "ON health_records (patient_id, recorded_at DESC, id DESC)"),
)


def upgrade(*, context: MigrationContext) -> None:
    """Build them while the tables are in use."""
    steps.run(STEPS, context)
