"""The schema of the API's database and the way there: tables, migrations, rights.

Whoever migrates a database imports this package alone: it needs neither the API nor a web framework. `tables`
is the schema as it should be, `migrations/versions` the steps to it, `schema` runs them, `rights` says what the
role of the API may do.
"""

from biospark_api.db.rights import API_PRIVILEGES, grant_to_api
from biospark_api.db.schema import (
    HEAD,
    current_revision,
    differences,
    migrate,
    missing_revisions,
    revisions,
)
from biospark_api.db.tables import METADATA

__all__ = [
    "API_PRIVILEGES",
    "HEAD",
    "METADATA",
    "current_revision",
    "differences",
    "grant_to_api",
    "migrate",
    "missing_revisions",
    "revisions",
]
