"""Says of SQL whether data may be lost by running it: from its syntax tree, not from words in it.

What is known to keep all data passes; all that is known to lose some is named; and what can't be judged counts as
losing, until the author of the migration says that it does not (`Script.keeps_data`).

`python -m biospark_api.schema.losses` writes what it says of each revision to `losses.json`, beside the checksum of
what it looked at: whoever migrates reads that, and needs no parser. A revision without a verdict is not run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from biospark_api.schema.migrator import Revision, revisions

#: What can be made again from the rest, so that dropping it loses no data.
_DERIVED = frozenset({"INDEX", "VIEW", "FUNCTION", "PROCEDURE", "TRIGGER", "CONSTRAINT"})
_KEEPING = (exp.Create, exp.Insert, exp.Comment, exp.Grant, exp.Revoke, exp.Alter, exp.Drop)


def losses(sql: str) -> tuple[str, ...]:
    """What may be lost, in the order of the statements, as in "drops the column phone of patients"."""
    # sqlglot writes a warning for each statement that it knows by its first word only; here that is an answer.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="postgres") if statement is not None]
    except SqlglotError:
        return ("can't be read",)
    return tuple(loss for statement in statements for loss in _of(statement))


def verdict(revision: Revision) -> dict[str, object]:
    """What `losses.json` has of a revision."""
    found = [loss for step in revision.steps if not step.keeps_data for loss in losses(step.sql)]
    return {"checksum": revision.checksum, "losses": found}


def main() -> None:
    """Write the verdicts on all revisions."""
    verdicts = {revision.name: verdict(revision) for revision in revisions()}
    Path(__file__).with_name("losses.json").write_text(json.dumps(verdicts, indent=2) + "\n")


def _of(statement: exp.Expr) -> Iterator[str]:
    hidden = list(_within(statement))
    if hidden:
        yield from hidden
    elif not isinstance(statement, _KEEPING):
        word = statement.name if isinstance(statement, exp.Command) else statement.key
        yield f"runs {word.upper()}, which can't be judged"


def _within(statement: exp.Expr) -> Iterator[str]:
    """Look at the statement and all that is in it: WITH has statements, ALTER TABLE has actions."""
    for node in statement.walk():
        match node:
            case exp.Drop() if node.args.get("cascade"):
                yield f"drops {_kind(node)} {_name(node, statement)} with all that depends on it"
            case exp.Drop() if (node.args.get("kind") or "").upper() not in _DERIVED:
                yield f"drops {_kind(node)} {_name(node, statement)}"
            case exp.TruncateTable():
                yield f"empties {', '.join(_table(table) for table in node.expressions)}"
            case exp.Delete():
                yield f"deletes rows of {_table(node.this)}"
            case exp.Update() if node.this is not None:  # else it is what a MERGE does
                yield f"changes rows of {_table(node.this)}"
            case exp.Merge():
                yield f"changes rows of {_table(node.this)}"
            case exp.OnConflict() if str(node.args.get("action") or "").upper().startswith("DO UPDATE"):
                yield "changes rows that are in the way of new ones"
            case exp.AlterColumn() if node.args.get("dtype"):
                yield f"changes the type of the column {node.this.name} of {_table(statement.this)}"


def _kind(node: exp.Drop) -> str:
    return f"the {(node.args.get('kind') or 'object').lower()}"


def _name(node: exp.Drop, statement: exp.Expr) -> str:
    dropped = [node.this] if node.this is not None else node.args.get("tables") or []
    named = ", ".join(_table(item) for item in dropped)
    return named if node is statement else f"{named} of {_table(statement.this)}"


def _table(node: exp.Expr | None) -> str:
    if node is None:
        return ""
    table = node.find(exp.Table)
    return ".".join(part.name for part in table.parts) if table is not None else node.name


if __name__ == "__main__":
    main()
