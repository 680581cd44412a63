"""The tables as the newest migration leaves them. For comparison and reference; no query is built from them.

Columns of the specification are TIMESTAMP without a time zone; the API writes and reads them as UTC. Columns
that later migrations add are TIMESTAMPTZ.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB, TIMESTAMP, UUID

METADATA = MetaData()

_NOW = text("CURRENT_TIMESTAMP")
ROLES = ("admin", "clinician", "agent", "auditor")
"""Roles of users; what each may do is decided by the API."""


def _id() -> Column[str]:
    return Column("id", UUID(as_uuid=False), primary_key=True, server_default=text("gen_random_uuid()"))


def _timestamp(name: str) -> Column[Any]:
    return Column(name, TIMESTAMP, server_default=_NOW)


def _instant(name: str, *, nullable: bool = False, default: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=_NOW if default else None)


def _version() -> Column[int]:
    return Column("version", Integer, nullable=False, server_default=text("1"))


def _user(*, key: bool = False) -> Column[str]:
    return Column(
        "user_id", UUID(as_uuid=False), ForeignKey("users.id", ondelete="CASCADE"), primary_key=key, nullable=False
    )


patients = Table(
    "patients",
    METADATA,
    _id(),
    Column("first_name", String(100), nullable=False),
    Column("last_name", String(100), nullable=False),
    Column("date_of_birth", Date, nullable=False),
    Column("email", String(255), unique=True),
    Column("phone", String(20)),
    _timestamp("created_at"),
    _timestamp("updated_at"),
    _version(),
    _instant("deleted_at", nullable=True),
    Column("former_email", String(255)),
    Index("idx_patients_email", "email"),
)


def _name_index(column: str) -> None:
    key = f"{column}_lower"
    # For LIKE 'prefix%', whatever the collation of the database. The release before searches by it.
    Index(
        f"idx_patients_{column}",
        func.lower(patients.c[column]).label(key),
        postgresql_ops={key: "text_pattern_ops"},
    )


Index("idx_patients_page", patients.c.created_at.desc(), patients.c.id.desc())
Index("idx_patients_date_of_birth", patients.c.date_of_birth)
Index("idx_patients_deleted_at", patients.c.deleted_at, postgresql_where=text("deleted_at IS NOT NULL"))
_name_index("last_name")
_name_index("first_name")


def _folded_name_index(column: str) -> None:
    key = f"{column}_folded"
    Index(
        f"idx_patients_{column}_folded",
        func.folded_name(patients.c[column]).label(key),
        postgresql_ops={key: "text_pattern_ops"},
    )


_folded_name_index("last_name")
_folded_name_index("first_name")

health_records = Table(
    "health_records",
    METADATA,
    _id(),
    Column("patient_id", UUID(as_uuid=False), ForeignKey("patients.id")),
    Column("record_type", String(50), nullable=False),
    Column("data", JSONB, nullable=False),
    Column("recorded_at", TIMESTAMP, nullable=False),
    _timestamp("created_at"),
    _version(),
    Index("idx_health_records_patient_id", "patient_id"),
    Index("idx_health_records_recorded_at", "recorded_at"),
    Index("idx_health_records_data_gin", "data", postgresql_using="gin"),
)
Index(
    "idx_health_records_page",
    health_records.c.patient_id,
    health_records.c.recorded_at.desc(),
    health_records.c.id.desc(),
)

agents = Table(
    "agents",
    METADATA,
    _id(),
    Column("name", String(100), nullable=False),
    Column("type", String(50), nullable=False),
    Column("config", JSONB),
    Column("status", String(20), server_default=text("'inactive'::character varying")),
    _timestamp("created_at"),
    _timestamp("updated_at"),
    _version(),
    Index("idx_agents_type", "type"),
    Index("idx_agents_status", "status"),
)

users = Table(
    "users",
    METADATA,
    _id(),
    Column("email", String(255), nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("role", String(20), nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    # Stands in every token of the user; raising it makes all of them invalid.
    Column("token_generation", Integer, nullable=False, server_default=text("1")),
    _instant("created_at", default=True),
    _instant("updated_at", default=True),
    _version(),
    CheckConstraint("role IN ('admin', 'clinician', 'agent', 'auditor')", name="users_role_check"),
)
Index("idx_users_page", users.c.created_at.desc(), users.c.id.desc())

sessions = Table(
    "sessions",
    METADATA,
    _id(),
    _user(),
    _instant("created_at", default=True),
    _instant("expires_at"),
    _instant("revoked_at", nullable=True),
    # That of the user when it was opened; nothing in sessions of a release before 0006.
    Column("token_generation", Integer),
    Index("idx_sessions_user_id", "user_id"),
    Index("idx_sessions_expires_at", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    METADATA,
    # SHA-256 of the token: who reads the table cannot use it.
    Column("token_hash", LargeBinary, primary_key=True),
    Column("session_id", UUID(as_uuid=False), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _instant("expires_at"),
    _instant("used_at", nullable=True),
    Index("idx_refresh_tokens_session_id", "session_id"),
)

revoked_tokens = Table(
    "revoked_tokens",
    METADATA,
    Column("jti", UUID(as_uuid=False), primary_key=True),
    _instant("expires_at"),
    Index("idx_revoked_tokens_expires_at", "expires_at"),
)

# Of the release before 0006, which goes on counting here while it is replaced.
login_failures = Table(
    "login_failures",
    METADATA,
    # SHA-256 of the account or the address, so that no address of a stranger is kept.
    Column("subject", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    _instant("expires_at"),
    Index("idx_login_failures_expires_at", "expires_at"),
)


def _place() -> tuple[Column[bytes], Column[bytes]]:
    # SHA-256 of each: what was typed as an account may be anything, also a password.
    return Column("account", LargeBinary, primary_key=True), Column("address", LargeBinary, primary_key=True)


login_attempts = Table(
    "login_attempts",
    METADATA,
    # One of them is empty where all accounts, or all addresses, are meant.
    *_place(),
    Column("failures", Integer, nullable=False),
    _instant("not_before"),
    _instant("expires_at"),
    Index("idx_login_attempts_expires_at", "expires_at"),
)

familiar_addresses = Table(
    "familiar_addresses",
    METADATA,
    *_place(),
    _instant("expires_at"),
    Index("idx_familiar_addresses_expires_at", "expires_at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    METADATA,
    _user(key=True),
    Column("key", String(255), primary_key=True),
    # Keyed hash of method, path and body: another request under the same key is a mistake of the client.
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", Integer),
    Column("headers", JSONB),
    Column("body", LargeBinary),
    _instant("expires_at"),
    # The patient that the answer speaks of.
    Column("subject", UUID(as_uuid=False)),
    Index("idx_idempotency_keys_expires_at", "expires_at"),
    Index("idx_idempotency_keys_subject", "subject", postgresql_where=text("subject IS NOT NULL")),
)

audit_log = Table(
    "audit_log",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _instant("at", default=True),
    Column("actor", UUID(as_uuid=False)),
    Column("actor_role", String(20)),
    Column("action", String(50), nullable=False),
    Column("target", UUID(as_uuid=False)),
    Column("outcome", String(20), nullable=False),
    Column("status", Integer),
    Column("request_id", String(128)),
    Column("address", INET),
    Column("shown", ARRAY(UUID(as_uuid=False))),
    Index("idx_audit_log_actor", "actor", "id"),
    Index("idx_audit_log_target", "target", "id"),
    Index("idx_audit_log_at", "at"),
    Index("idx_audit_log_shown", "shown", postgresql_using="gin"),
)

retention = Table(
    "retention",
    METADATA,
    # What is removed when it is so many days old. Only the owner writes it; see `retention`.
    Column("subject", String(50), primary_key=True),
    Column("days", Integer, nullable=False),
    CheckConstraint("days > 0", name="retention_days_check"),
)
