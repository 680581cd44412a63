"""The schema of the API's database and the way there: tables, migrations, rights.

Whoever migrates a database imports this package alone: it needs neither the API nor a web framework. `tables`
is the schema as it should be, `migrations/versions` the steps to it, `migrator` runs them, `losses` says which
destroy data, `history` which were edited, `comparison` how a live schema differs, `baseline` takes over what was
set up by hand, `rights` says what roles may do.
"""

from biospark_api.schema.agents import DEFAULT_AGENTS
from biospark_api.schema.baseline import DifferentTablesError
from biospark_api.schema.comparison import FINGERPRINT, VERSIONS, Comparison, compare
from biospark_api.schema.history import HISTORY, edited
from biospark_api.schema.migrator import (
    HEAD,
    Revision,
    current_revision,
    migrate,
    missing_revisions,
    revisions,
)
from biospark_api.schema.retention import keep_audit_log
from biospark_api.schema.rights import API_PRIVILEGES, READER_PRIVILEGES, grant_to_api, statements
from biospark_api.schema.tables import METADATA

__all__ = [
    "API_PRIVILEGES",
    "DEFAULT_AGENTS",
    "FINGERPRINT",
    "HEAD",
    "HISTORY",
    "METADATA",
    "READER_PRIVILEGES",
    "VERSIONS",
    "Comparison",
    "DifferentTablesError",
    "Revision",
    "compare",
    "current_revision",
    "edited",
    "grant_to_api",
    "keep_audit_log",
    "migrate",
    "missing_revisions",
    "revisions",
    "statements",
]
