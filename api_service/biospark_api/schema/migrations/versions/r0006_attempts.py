"""Sessions that end with the generation of their user, and attempts to log in, by account and address."""

from alembic.runtime.migration import MigrationContext

from biospark_api.schema.migrations import steps
from biospark_api.schema.migrations.steps import Script

revision = "0006"
down_revision = "0005"

# Without a value: sessions of the release before, whose pods go on opening some.
_GENERATION = "ALTER TABLE sessions ADD COLUMN token_generation INTEGER"

_TABLES = """
CREATE TABLE login_attempts (
    account BYTEA NOT NULL,
    address BYTEA NOT NULL,
    failures INTEGER NOT NULL,
    not_before TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, address)
);
CREATE INDEX idx_login_attempts_expires_at ON login_attempts (expires_at);
CREATE TABLE familiar_addresses (
    account BYTEA NOT NULL,
    address BYTEA NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, address)
);
CREATE INDEX idx_familiar_addresses_expires_at ON familiar_addresses (expires_at);
"""

STEPS = (Script(_GENERATION), Script(_TABLES))


def upgrade(*, context: MigrationContext) -> None:
    """Add them."""
    steps.run(STEPS, context)
