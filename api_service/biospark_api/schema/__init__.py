"""The schema of the API's database and the way there: tables, migrations, rights.

Whoever migrates a database imports this package alone: it needs neither the API nor a web framework. `tables`
is the schema as it should be, `migrations/versions` the steps to it, `migrator` runs them, `losses` says which
destroy data, `history` which were edited, `comparison` how a live schema differs, `baseline` takes over what was
set up by hand, `rights` says what roles may do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

#: Who only asks for rights must not pay for SQLAlchemy and Alembic, so each name is imported when it is asked for.
_MODULES = {
    "agents": ("DEFAULT_AGENTS",),
    "baseline": ("DifferentTablesError",),
    "comparison": (
        "Comparison",
        "FINGERPRINT",
        "VERSIONS",
        "compare",
    ),
    "history": (
        "HISTORY",
        "edited",
    ),
    "migrator": (
        "HEAD",
        "Revision",
        "current_revision",
        "migrate",
        "missing_revisions",
        "revisions",
    ),
    "retention": ("keep_audit_log",),
    "rights": (
        "API_PRIVILEGES",
        "READER_PRIVILEGES",
        "grant_to_api",
        "statements",
    ),
    "tables": ("METADATA",),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


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
