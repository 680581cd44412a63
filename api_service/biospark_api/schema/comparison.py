"""Compares a live schema with the model of this release, in words.

What is missing or changed breaks the API, or will; what is there besides mostly harms nobody. So the two are told
apart: `Comparison.faults` and `Comparison.extras`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, Index, inspect
from sqlalchemy.sql.schema import ForeignKeyConstraint, SchemaItem, Table, UniqueConstraint

from biospark_api.schema.history import HISTORY
from biospark_api.schema.tables import METADATA

# Alembic's own options of indexes, which SQLAlchemy does not know.
warnings.filterwarnings("ignore", message="Can't validate argument 'dialect_options'")

VERSIONS = "alembic_version"
#: Alembic can't compare what these constraints say, only whether they are there.
_CHECKS = {
    "users": {"users_role_check"},
    "patients": {"patients_created_at_check"},
    "agents": {"agents_created_at_check"},
    "retention": {"retention_days_check"},
}

#: Reads one text for each thing of a schema (its one parameter) that `compare` looks at, by relation, and nothing
#: that differs between two databases with the same schema: what is found of one is true of all with these texts.
CATALOGUE = """
SELECT c.relname AS relation, pg_catalog.concat_ws(' ', 'column', a.attname,
           pg_catalog.format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
           CASE WHEN a.attidentity <> '' THEN 'IDENTITY ' || a.attidentity::text END,
           'DEFAULT ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)) AS text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relkind IN ('r', 'p') AND n.nspname = %(schema)s
UNION ALL
SELECT r.relname, pg_catalog.concat_ws(' ', CASE WHEN NOT i.indisvalid THEN 'invalid' END, 'index',
           pg_catalog.pg_get_indexdef(i.indexrelid))
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class r ON r.oid = i.indrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
 WHERE n.nspname = %(schema)s
UNION ALL
SELECT r.relname, pg_catalog.concat_ws(' ', 'constraint', k.conname, pg_catalog.pg_get_constraintdef(k.oid))
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class r ON r.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
 WHERE n.nspname = %(schema)s AND k.contype <> 'n'
 ORDER BY 1, 2
"""


#: Tells a schema from every other one: `fingerprint`, and the names of its tables, `relations`.
FINGERPRINT = """
SELECT pg_catalog.md5(pg_catalog.string_agg(relation || ' ' || text, ';' ORDER BY relation, text)) AS fingerprint,
       pg_catalog.array_agg(DISTINCT relation::text) AS relations
  FROM ({things}) AS things
""".replace("{things}", CATALOGUE.replace("%(schema)s", "'public'"))


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a schema differs from the model; each entry as in "column patients.phone is missing"."""

    faults: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


def compare(connection: Connection) -> Comparison:
    """Compare tables, columns, types, defaults, indexes, keys and checks of the schema public."""

    def is_compared(_object: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
        return kind != "table" or name not in {VERSIONS, HISTORY}

    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True, "include_object": is_compared}
    )
    found = compare_metadata(context, METADATA)
    changes = [change for entry in found for change in (entry if isinstance(entry, list) else [entry])]
    missing = {item.name for verb, item, *_ in changes if verb == "add_table"}
    faults: list[str] = []
    extras: list[str] = []
    for change in changes:
        # With a table all that belongs to it is missing.
        if getattr(getattr(change[1], "table", None), "name", None) not in missing:
            harmless, text = _described(*change)
            (extras if harmless else faults).append(text)
    faults += [*_missing_checks(connection), *_broken_indexes(connection)]
    return Comparison(tuple(sorted(set(faults))), tuple(sorted(set(extras))))


def _described(verb: str, *what: Any) -> tuple[bool, str]:
    """Whether a difference of Alembic harms nobody, and what it is."""
    match verb, *what:
        case "add_column", _, table, Column(name=name):
            return False, f"column {table}.{name} is missing"
        case "remove_column", _, table, Column(name=name) as column:
            required = not column.nullable and column.server_default is None and column.identity is None
            return not required, f"unexpected column {table}.{name}{', which must be given' if required else ''}"
        case "modify_type", _, table, name, _, found, wanted:
            return False, f"column {table}.{name} has the type {found} instead of {wanted}"
        case "modify_nullable", _, table, name, _, found, _:
            return False, f"column {table}.{name} {'may' if found else 'may not'} be NULL"
        case "modify_default", _, table, name, *_:
            return False, f"column {table}.{name} has another default"
        case str(), SchemaItem() as item:
            added = verb.startswith("add_")
            told = f"{_item(item)} is missing" if added else f"unexpected {_item(item)}"
            return not added and _is_harmless(item), told
    return False, f"{verb} {' '.join(str(part) for part in what)}"


def _is_harmless(item: SchemaItem) -> bool:
    """Whether something besides can't keep the API from writing."""
    match item:
        case Table():
            return True
        case Index():
            return not item.unique
        case _:
            return False


def _item(item: SchemaItem) -> str:
    match item:
        case Table(name=name):
            return f"table {name}"
        case Index(name=name, table=table):
            return f"index {name} of {table.name if table is not None else '?'}"
        case ForeignKeyConstraint(table=table):
            return f"foreign key on {', '.join(item.column_keys)} of {table.name}"
        case UniqueConstraint(table=table):
            return f"unique constraint on {', '.join(item.columns.keys())} of {table.name}"
    return str(item)


def _missing_checks(connection: Connection) -> Iterator[str]:
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    for table, wanted in _CHECKS.items():
        if table in tables:
            found = {check["name"] for check in inspector.get_check_constraints(table)}
            yield from (f"constraint {name} of {table} is missing" for name in sorted(wanted - found))


def _broken_indexes(connection: Connection) -> Iterator[str]:
    rows = connection.exec_driver_sql(
        "SELECT c.relname, i.indrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisvalid"
    )
    yield from (f"index {name} of {table} is invalid: its build was interrupted" for name, table in rows)
