"""Indexes for pages by cursor and for the search for patients."""

from alembic.runtime.migration import MigrationContext

from biospark_api.db.migrations.online import create_index

revision = "0005"
down_revision = "0004"


def upgrade(*, context: MigrationContext) -> None:
    """Build them while the tables are in use."""
    create_index(context, "idx_patients_page", "ON patients (created_at DESC, id DESC)")
    create_index(context, "idx_patients_date_of_birth", "ON patients (date_of_birth)")
    create_index(context, "idx_patients_last_name", "ON patients (lower(last_name) text_pattern_ops)")
    create_index(context, "idx_patients_first_name", "ON patients (lower(first_name) text_pattern_ops)")
    create_index(context, "idx_health_records_page", "ON health_records (patient_id, recorded_at DESC, id DESC)")
