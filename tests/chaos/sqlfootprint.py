"""Everything that an environment has on a PostgreSQL server, in the form of `footprint`.

What belongs to an environment is what has its name in its own: database and roles. Left out are passwords, of which
it is said whether the credentials that the environment hands out open the database, and as whom.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg.rows import dict_row

from biospark_operator.objects import secret_data
from tests.chaos.footprint import Footprint, without_random
from tests.postgres import Site

_DATABASES = """
SELECT datname, pg_get_userbyid(datdba) AS owner, datconnlimit, datallowconn, datacl::text[],
       pg_encoding_to_char(encoding) AS encoding, shobj_description(oid, 'pg_database') AS comment
  FROM pg_database WHERE strpos(datname, %s) > 0
"""
_ROLES = """
SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolconnlimit, r.rolconfig,
       a.rolpassword IS NULL AS "no password", shobj_description(r.oid, 'pg_authid') AS comment
  FROM pg_roles r JOIN pg_authid a ON a.oid = r.oid WHERE strpos(r.rolname, %s) > 0
"""
_MEMBERS = """
SELECT pg_get_userbyid(roleid) AS role, pg_get_userbyid(member) AS member, admin_option
  FROM pg_auth_members WHERE strpos(pg_get_userbyid(roleid), %s) > 0
"""
_RELATIONS = """
SELECT relname, relkind::text, pg_get_userbyid(relowner) AS owner, relacl::text[]
  FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
_DEFAULTS = "SELECT pg_get_userbyid(defaclrole) AS role, defaclobjtype::text, defaclacl::text[] FROM pg_default_acl"
_EXTENSIONS = "SELECT extname FROM pg_extension"
_HISTORY = "SELECT revision FROM schema_history"
_AGENTS = "SELECT name FROM agents"


def sql_footprint(site: Site, name: str, secret: Any) -> Footprint:
    """Return what the environment `name` has on the server; `secret` is the one with its credentials, or None."""
    found: dict[str, Any] = {}
    with site.connected() as connection:
        for what, query, key in (("database", _DATABASES, "datname"), ("role", _ROLES, "rolname")):
            found |= {f"PostgreSQL {what} {row[key]}": row for row in _rows(connection, query, name)}
        if members := _rows(connection, _MEMBERS, name):
            found["PostgreSQL members of roles"] = members
    for key in [key for key in found if key.startswith("PostgreSQL database ")]:
        found |= _content(site, found[key]["datname"])
    if secret is not None:
        found["PostgreSQL login of the API"] = _login(secret)
    masked: Footprint = json.loads(without_random(json.dumps(found)).replace(name, "NAME"))
    return masked


def _content(site: Site, database: str) -> Footprint:
    with site.connected(database) as connection:
        inside = {"relations": _RELATIONS, "default privileges": _DEFAULTS, "extensions": _EXTENSIONS}
        tables = {row["relname"] for row in _rows(connection, _RELATIONS)}
        if "schema_history" in tables:
            inside["migrations"] = _HISTORY
        if "agents" in tables:
            inside["agents"] = _AGENTS
        return {f"PostgreSQL {what}": _rows(connection, query) for what, query in inside.items()}


def _login(secret: Any) -> str:
    """Say what becomes of logging in with the credentials in a Secret."""
    data = secret_data.texts(secret)
    try:
        with psycopg.connect(data["uri"], connect_timeout=10) as connection:
            connection.execute("SELECT count(*) FROM patients")
    except psycopg.Error as error:
        return f"refused: {type(error).__name__}"
    return f"works, as {data['username']}"


def _rows(connection: psycopg.Connection, query: str, *params: object) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query, params or None).fetchall()
    listed = [{key: sorted(v) if isinstance(v, list) else v for key, v in row.items()} for row in rows]
    return sorted(listed, key=str)
