"""The SQL that the operator executes: one function for each statement. Pure.

Every name and every text goes through `psycopg.sql`. No statement here holds a password, so all of them can be
shown; what sets a password is in `credentials`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from biospark_operator.components.database.state import Relation

Statement = sql.Composed
Option = sql.SQL | sql.Composed
_COMMA = sql.SQL(", ")


def shown(statements: Iterable[Statement]) -> str:
    """Return statements as text for plans and Events."""
    return "; ".join(statement.as_string(None) for statement in statements)


def create_role(name: str, *, login: bool, inherit: bool, connection_limit: int) -> Statement:
    """Create a role that may do nothing yet."""
    options = [_flag("LOGIN", login), _flag("INHERIT", inherit)]
    limit = [_limit(connection_limit)] if connection_limit >= 0 else []
    return _join("CREATE ROLE {}", name) + sql.SQL(" ") + sql.SQL(" ").join([*options, *limit])


def alter_role(name: str, options: Sequence[Option]) -> Statement:
    """Change attributes of a role."""
    return _join("ALTER ROLE {} ", name) + sql.SQL(" ").join(options)


def role_option(keyword: str, on: bool) -> Option:
    """Return an attribute of a role, such as NOCREATEDB."""
    return _flag(keyword, on)


def role_limit(limit: int) -> Option:
    """Return the limit of connections of a role, -1 for none."""
    return _limit(limit)


#: Stands for a password where statements are shown.
HIDDEN_PASSWORD = sql.SQL("PASSWORD '…'")
NEVER_EXPIRES = sql.SQL("VALID UNTIL 'infinity'")


def expires(moment: str) -> Option:
    """Return the attribute of a role that its password is good until a moment, as the server writes one."""
    return sql.SQL("VALID UNTIL {}").format(sql.Literal(moment))


def take_password(name: str) -> Statement:
    """Take the password of a role away, and what says when it expires."""
    return alter_role(name, [sql.SQL("PASSWORD NULL"), NEVER_EXPIRES])


def drop_role(name: str) -> Statement:
    """Drop a role that owns nothing."""
    return _join("DROP ROLE {}", name)


def comment_role(name: str, comment: str | None) -> Statement:
    """Write the comment of a role."""
    return _join("COMMENT ON ROLE {} IS ", name) + _text(comment)


def grant_role(role: str, member: str, *, options: bool = False) -> Statement:
    """Make `member` a member of `role`; with `options` one that may act as it (PostgreSQL 16 or newer)."""
    how = sql.SQL(" WITH INHERIT TRUE, SET TRUE" if options else "")
    return _join("GRANT {} TO {}", role, member) + how


def revoke_role(role: str, member: str, grantor: str | None = None) -> Statement:
    """Take a membership away; `grantor` is who granted it (PostgreSQL 16 or newer)."""
    by = _join(" GRANTED BY {}", grantor) if grantor is not None else sql.SQL("")
    return _join("REVOKE {} FROM {}", role, member) + by


def create_database(name: str, owner: str, object_id: int) -> Statement:
    """Create a database in UTF-8, from the template that nobody changed, under an id that is known beforehand."""
    identified = sql.SQL(f" OID {int(object_id)}")
    return _join("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'", name, owner) + identified


def drop_database(name: str) -> Statement:
    """Drop a database and end the sessions in it."""
    return _join("DROP DATABASE {} WITH (FORCE)", name)


def own_database(name: str, owner: str) -> Statement:
    """Give a database to a role."""
    return _join("ALTER DATABASE {} OWNER TO {}", name, owner)


def limit_database(name: str, limit: int) -> Statement:
    """Set how many connections a database takes, -1 for no limit."""
    return _join("ALTER DATABASE {} ", name) + _limit(limit)


def admit_to_database(name: str, *, allowed: bool) -> Statement:
    """Let new sessions into a database, or none at all."""
    return _join("ALTER DATABASE {} ALLOW_CONNECTIONS ", name) + sql.SQL("true" if allowed else "false")


def comment_database(name: str, comment: str | None) -> Statement:
    """Write the comment of a database."""
    return _join("COMMENT ON DATABASE {} IS ", name) + _text(comment)


def grant_database(name: str, privileges: Iterable[str], role: str) -> Statement:
    """Grant rights on a database."""
    return _keywords("GRANT", privileges) + _join(" ON DATABASE {} TO {}", name, role)


def revoke_database(name: str) -> Statement:
    """Take every right on a database from those who were granted none by name."""
    return _join("REVOKE ALL ON DATABASE {} FROM PUBLIC", name)


def revoke_database_of(name: str, roles: Iterable[str]) -> Statement:
    """Take every right on a database from roles."""
    return _join("REVOKE ALL ON DATABASE {} FROM ", name) + _names(roles)


def open_database(name: str, privileges: Iterable[str]) -> Statement:
    """Grant rights on a database to everybody."""
    return _keywords("GRANT", privileges) + _join(" ON DATABASE {} TO PUBLIC", name)


def create_schema(name: str) -> Statement:
    """Create a schema."""
    return _join("CREATE SCHEMA IF NOT EXISTS {}", name)


def own_schema(name: str, owner: str) -> Statement:
    """Give a schema to a role."""
    return _join("ALTER SCHEMA {} OWNER TO {}", name, owner)


def grant_schema(name: str, role: str, *, create: bool = False) -> Statement:
    """Let a role use a schema, with `create` also make things in it."""
    return _join("GRANT CREATE, USAGE ON SCHEMA {} TO {}" if create else "GRANT USAGE ON SCHEMA {} TO {}", name, role)


def revoke_schema(name: str) -> Statement:
    """Take every right on a schema from those who were granted none by name."""
    return _join("REVOKE ALL ON SCHEMA {} FROM PUBLIC", name)


def revoke_schema_of(name: str, roles: Iterable[str]) -> Statement:
    """Take every right on a schema from roles."""
    return _join("REVOKE ALL ON SCHEMA {} FROM ", name) + _names(roles)


def open_schema(name: str, privileges: Iterable[str]) -> Statement:
    """Grant rights on a schema to everybody."""
    return _keywords("GRANT", privileges) + _join(" ON SCHEMA {} TO PUBLIC", name)


def grant_by_default(owner: str, kind: str, privileges: Iterable[str], role: str) -> Statement:
    """Let what `owner` makes from now on grant rights; `kind` is TABLES, SEQUENCES, and so on."""
    grant = sql.SQL(" ") + _keywords("GRANT", privileges) + sql.SQL(f" ON {kind} TO ")
    return _join("ALTER DEFAULT PRIVILEGES FOR ROLE {}", owner) + grant + sql.Identifier(role)


def revoke_by_default(owner: str, kind: str) -> Statement:
    """Let what `owner` makes from now on grant nothing to everybody."""
    revoke = sql.SQL(f" REVOKE ALL ON {kind} FROM PUBLIC")
    return _join("ALTER DEFAULT PRIVILEGES FOR ROLE {}", owner) + revoke


def grant_relation(relation: Relation, privileges: Iterable[str], role: str) -> Statement:
    """Grant rights on a table, view or sequence."""
    on = sql.SQL(f" ON {relation.kind} ")
    return _keywords("GRANT", privileges) + on + _join("{}.{} TO {}", relation.schema, relation.name, role)


def create_extension(name: str, schema: str | None, version: str | None) -> Statement:
    """Create an extension."""
    where = _join(" SCHEMA {}", schema) if schema else sql.SQL("")
    which = _join(" VERSION {}", version) if version else sql.SQL("")
    return _join("CREATE EXTENSION {}", name) + where + which


def update_extension(name: str, version: str) -> Statement:
    """Bring an extension to a version."""
    return _join("ALTER EXTENSION {} UPDATE TO {}", name, version)


def move_extension(name: str, schema: str) -> Statement:
    """Move an extension to a schema."""
    return _join("ALTER EXTENSION {} SET SCHEMA {}", name, schema)


#: Where objects go whose statement names no schema.
USE_PUBLIC = sql.Composed([sql.SQL("SET LOCAL search_path = public")])


def reassign(role: str, to: str) -> Statement:
    """Give everything that a role owns in this database to another one."""
    return _join("REASSIGN OWNED BY {} TO {}", role, to)


def drop_owned(role: str) -> Statement:
    """Take a role out of every grant in this database."""
    return _join("DROP OWNED BY {}", role)


def _join(template: str, *names: str) -> Statement:
    return sql.SQL(template).format(*map(sql.Identifier, names))


def _names(names: Iterable[str]) -> Statement:
    return _COMMA.join(sql.Identifier(name) for name in names)


def _keywords(verb: str, privileges: Iterable[str]) -> Statement:
    return sql.SQL(f"{verb} ") + _COMMA.join(sql.SQL(privilege) for privilege in sorted(privileges))


def _flag(keyword: str, on: bool) -> Option:
    return sql.SQL(keyword if on else f"NO{keyword}")


def _limit(limit: int) -> Option:
    return sql.SQL(f"CONNECTION LIMIT {int(limit)}")


def _text(text: str | None) -> sql.Composable:
    return sql.SQL("NULL") if text is None else sql.Literal(text)
