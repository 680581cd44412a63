"""Takes a database over that was set up by hand: with the tables of the specification and no migrations.

It stands where the first revision leads to, if it is exactly that. What the first revision makes is made in a
schema aside, compared text by text, and thrown away, so nothing has to be written down twice.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from biospark_api.schema.comparison import CATALOGUE
from biospark_api.schema.migrations.steps import Script, Step

_ASIDE = "biospark_baseline"


class DifferentTablesError(Exception):
    """Tables with the names of the first revision are there and are not what it makes; `differences` says where."""

    def __init__(self, differences: tuple[str, ...]) -> None:
        super().__init__("; ".join(differences))
        self.differences = differences


def is_at_first_revision(connection: Connection, steps: tuple[Step, ...]) -> bool:
    """Whether the tables of the first revision are there already; it consists of `steps`.

    Raises `DifferentTablesError` where they are there otherwise. Changes nothing.
    """
    try:
        connection.execute(text(f"CREATE SCHEMA {_ASIDE}"))
        connection.execute(text(f"SET LOCAL search_path = {_ASIDE}"))
        for step in steps:
            if isinstance(step, Script):
                connection.exec_driver_sql(step.sql)
        wanted = _texts(connection, _ASIDE)
        connection.execute(text("SET LOCAL search_path = public"))
        found = {relation: texts for relation, texts in _texts(connection, "public").items() if relation in wanted}
    finally:
        connection.rollback()
    if not found:
        return False
    differences = [f"there is no table {relation}" for relation in sorted(wanted.keys() - found.keys())]
    for relation, texts in sorted(found.items()):
        differences += [f"{relation} has {entry}" for entry in sorted(texts - wanted[relation])]
        differences += [f"{relation} lacks {entry}" for entry in sorted(wanted[relation] - texts)]
    if differences:
        raise DifferentTablesError(tuple(differences))
    return True


def _texts(connection: Connection, schema: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for relation, entry in connection.exec_driver_sql(CATALOGUE, {"schema": schema}):
        found.setdefault(relation, set()).add(entry.replace(f"{schema}.", ""))
    return found
