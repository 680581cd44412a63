"""Reads the system catalogs of server and database into `state`. Reads only, one query for each kind of thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql

from biospark_api.schema import API_PRIVILEGES
from biospark_operator.clients.postgres.session import Row, Session
from biospark_operator.components.database.names import Names
from biospark_operator.components.database.state import (
    PUBLIC,
    Grant,
    Inside,
    Membership,
    Relation,
    SeenDatabase,
    SeenExtension,
    SeenRole,
    SeenServer,
)

#: Membership has options from this version on.
WITH_OPTIONS = 160000
#: What pg_database has for datconnlimit once DROP DATABASE began.
INVALID = -2
#: The attributes of roles that none of ours has, by the columns of pg_roles.
POWERS: Mapping[str, str] = {
    "rolsuper": "SUPERUSER",
    "rolcreatedb": "CREATEDB",
    "rolcreaterole": "CREATEROLE",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}
#: Kinds of default privileges: how SQL, pg_default_acl and acldefault() call them.
_DEFAULTS: Sequence[tuple[str, str, str]] = (
    ("TABLES", "r", "r"),
    ("SEQUENCES", "S", "s"),
    ("FUNCTIONS", "f", "f"),
    ("TYPES", "T", "T"),
    ("SCHEMAS", "n", "n"),
)
_GRANTEE = f"CASE grantee WHEN 0 THEN '{PUBLIC}' ELSE pg_get_userbyid(grantee) END"


async def server(session: Session) -> SeenServer:
    """Read what the server is, and what the operator's role may do there."""
    (row,) = await session.rows(
        "read the version",
        """SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
                  pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only,
                  current_user::text AS admin, r.rolsuper AS superuser,
                  (SELECT datcollate FROM pg_database WHERE datname = 'template0') AS collation
             FROM pg_roles r WHERE r.rolname = current_user""",
    )
    version = str(row["version"]).split(" ")[0]
    return SeenServer(row["number"], version, row["read_only"], row["admin"], row["superuser"], row["collation"] or "")


async def moment(session: Session, seconds: float) -> str:
    """Return the time that it is for the server after so many seconds, as it writes it."""
    (row,) = await session.rows("read the time", "SELECT (now() + make_interval(secs => %s))::text AS moment", seconds)
    return str(row["moment"])


async def roles(session: Session, names: Names) -> dict[str, SeenRole]:
    """Read those of the environment's roles that exist."""
    rows = await session.rows(
        "read roles",
        """SELECT rolname, rolcanlogin, rolinherit, rolconnlimit, rolsuper, rolcreatedb, rolcreaterole, rolreplication,
                  rolbypassrls, shobj_description(oid, 'pg_authid') AS comment,
                  coalesce(rolvaliduntil < 'infinity', false) AS expires,
                  coalesce(rolvaliduntil < now(), false) AS expired
             FROM pg_roles WHERE rolname = ANY(%s)""",
        list(names.roles),
    )
    return {
        row["rolname"]: SeenRole(
            name=row["rolname"],
            login=row["rolcanlogin"],
            inherit=row["rolinherit"],
            connection_limit=row["rolconnlimit"],
            powers=frozenset(power for column, power in POWERS.items() if row[column]),
            expires=row["expires"],
            expired=row["expired"],
            comment=row["comment"],
        )
        for row in rows
    }


async def uses(session: Session, names: Names) -> dict[str, tuple[str, ...]]:
    """Read where else than in the environment's database its roles own something or have rights."""
    rows = await session.rows(
        "read dependencies",
        """SELECT DISTINCT r.rolname AS role, coalesce(b.datname, 'the whole server') AS place
             FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid AND d.refclassid = 'pg_authid'::regclass
             LEFT JOIN pg_database b ON b.oid = CASE d.classid WHEN 'pg_database'::regclass THEN d.objid ELSE d.dbid END
            WHERE r.rolname = ANY(%s) AND d.classid <> 'pg_auth_members'::regclass
              AND b.datname IS DISTINCT FROM %s ORDER BY 1, 2""",
        list(names.roles),
        names.database,
    )
    return {name: tuple(row["place"] for row in rows if row["role"] == name) for name in names.roles}


async def memberships(session: Session, names: Names, version: int) -> tuple[Membership, ...]:
    """Read who is a member of the environment's roles, and of what they are members."""
    options = "inherit_option, set_option" if version >= WITH_OPTIONS else "m.rolinherit AS inherit_option, true"
    rows = await session.rows(
        "read memberships",
        sql.SQL(
            """SELECT r.rolname AS role, m.rolname AS member, pg_get_userbyid(a.grantor) AS grantor, {options}
                 FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
                WHERE r.rolname = ANY(%s) OR m.rolname = ANY(%s) ORDER BY 1, 2, 3"""
        ).format(options=sql.SQL(options + " AS set_option" if version < WITH_OPTIONS else options)),
        list(names.roles),
        list(names.roles),
    )
    return tuple(
        Membership(row["role"], row["member"], row["grantor"], row["inherit_option"], row["set_option"]) for row in rows
    )


async def database(session: Session, name: str) -> SeenDatabase | None:
    """Read the database, or None where there is none."""
    rows = await session.rows(
        "read the database",
        """SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding, datcollate AS collation,
                  datconnlimit AS connection_limit, datallowconn AS allows, oid,
                  shobj_description(oid, 'pg_database') AS comment
             FROM pg_database WHERE datname = %s""",
        name,
    )
    if not rows:
        return None
    grants = await session.rows(
        "read rights on the database",
        sql.SQL(
            """SELECT {grantee} AS grantee, privilege_type AS privilege
                 FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE datname = %s"""
        ).format(grantee=sql.SQL(_GRANTEE)),
        name,
    )
    row = rows[0]
    return SeenDatabase(
        owner=row["owner"],
        encoding=row["encoding"],
        collation=row["collation"] or "",
        connection_limit=row["connection_limit"],
        grants=_grants(grants),
        comment=row["comment"],
        allows_connections=row["allows"],
        object_id=row["oid"],
        is_whole=row["connection_limit"] != INVALID,
    )


async def sessions(session: Session, names: Names) -> dict[str, int]:
    """Count the open sessions of each of the environment's roles."""
    rows = await session.rows(
        "read sessions",
        "SELECT usename AS role, count(*) AS number FROM pg_stat_activity WHERE usename = ANY(%s) GROUP BY 1",
        list(names.roles),
    )
    return {row["role"]: row["number"] for row in rows}


async def inside(session: Session, names: Names, *, owned: bool) -> Inside:
    """Read what is in the database, over a session in it. `owned` says whether the owner exists already."""
    public = await session.rows(
        "read the schema public",
        sql.SQL(
            """SELECT pg_get_userbyid(nspowner) AS owner, {grantee} AS grantee, privilege_type AS privilege
                 FROM pg_namespace
                 LEFT JOIN LATERAL aclexplode(coalesce(nspacl, acldefault('n', nspowner))) ON true
                WHERE nspname = 'public'"""
        ).format(grantee=sql.SQL(_GRANTEE)),
    )
    extensions = await session.rows(
        "read extensions",
        "SELECT extname, extversion, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace",
    )
    foreign = await session.rows(
        "read tables",
        """SELECT pg_get_userbyid(c.relowner) AS owner, count(*) AS number
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname = 'public'
              AND pg_get_userbyid(c.relowner) <> %s
              AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
            GROUP BY 1 ORDER BY 1""",
        names.owner,
    )
    bystanders = await session.rows(
        "read rights on tables",
        """SELECT DISTINCT r.rolname AS role FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
                  LATERAL (SELECT c.relowner UNION SELECT grantee FROM aclexplode(c.relacl)) AS x(oid)
             JOIN pg_roles r ON r.oid = x.oid
            WHERE n.nspname = 'public' AND NOT r.rolsuper AND r.rolname <> ALL(%s) ORDER BY 1""",
        list(names.roles),
    )
    return Inside(
        public_owner=public[0]["owner"] if public else None,
        public_grants=_grants(public),
        defaults=await _defaults(session, names.owner) if owned else Inside().defaults,
        hidden_from_app=await _hidden(session, names.owner, names.app),
        hidden_from_reader=await _hidden(session, names.owner, names.reader),
        extensions={row["extname"]: SeenExtension(row["extversion"], row["nspname"]) for row in extensions},
        bystanders=tuple(row["role"] for row in bystanders),
        foreign_owners={row["owner"]: row["number"] for row in foreign},
    )


async def _defaults(session: Session, owner: str) -> dict[str, frozenset[Grant]]:
    kinds = sql.SQL(", ").join(
        sql.SQL('({}, {}::"char", {}::"char")').format(*map(sql.Literal, kind)) for kind in _DEFAULTS
    )
    rows = await session.rows(
        "read default privileges",
        sql.SQL(
            """SELECT k.name AS kind, {grantee} AS grantee, privilege_type AS privilege
                 FROM (VALUES {kinds}) AS k(name, stored, built_in)
                 JOIN pg_roles o ON o.rolname = %s
                 LEFT JOIN pg_default_acl d
                   ON d.defaclrole = o.oid AND d.defaclnamespace = 0 AND d.defaclobjtype = k.stored,
                 LATERAL aclexplode(coalesce(d.defaclacl, acldefault(k.built_in, o.oid)))
                WHERE grantee <> o.oid"""
        ).format(grantee=sql.SQL(_GRANTEE), kinds=kinds),
        owner,
    )
    return {kind: _grants([row for row in rows if row["kind"] == kind]) for kind, _, _ in _DEFAULTS}


async def _hidden(session: Session, owner: str, grantee: str) -> tuple[Relation, ...]:
    """Read what `grantee` has no right at all on. Where it has some, somebody chose which.

    Which rights belong to the tables of the API is known to the schema, and kept by it.
    """
    rows = await session.rows(
        "read rights on tables",
        """SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, n.nspname, c.relname
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND pg_get_userbyid(c.relowner) = %s
              AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              AND NOT EXISTS (SELECT FROM aclexplode(c.relacl) g WHERE pg_get_userbyid(g.grantee) = %s)
              AND NOT (n.nspname = 'public' AND c.relname = ANY(%s))
            ORDER BY 1, 2, 3""",
        owner,
        grantee,
        sorted(API_PRIVILEGES),
    )
    return tuple(Relation(row["kind"], row["nspname"], row["relname"]) for row in rows)


def _grants(rows: Sequence[Row]) -> frozenset[Grant]:
    return frozenset(Grant(row["grantee"], row["privilege"]) for row in rows if row["privilege"] is not None)
