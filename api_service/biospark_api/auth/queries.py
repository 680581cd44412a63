"""The SQL of logins, sessions and tokens."""

from typing import Any

from psycopg.rows import DictRow

from biospark_api.audit.entries import audited
from biospark_api.database.connection import Connection
from biospark_api.database.pool import Pool

_STATE = """
SELECT users.role, users.email, users.token_generation,
       users.active AND sessions.revoked_at IS NULL
       AND NOT EXISTS (SELECT FROM revoked_tokens WHERE jti = %(jti)s) AS valid
FROM users JOIN sessions ON sessions.user_id = users.id
WHERE users.id = %(user)s AND sessions.id = %(session)s
"""

_USER = """
SELECT id, email, password_hash, role, active, token_generation FROM users WHERE email = %s
"""

_USER_OF_ID = """
SELECT id, email, password_hash, role, active, token_generation FROM users WHERE id = %s
"""

_OPEN_SESSION = audited("""
INSERT INTO sessions (user_id, expires_at, token_generation)
SELECT id, now() + make_interval(secs => %(seconds)s), token_generation FROM users
WHERE id = %(user)s AND active AND token_generation = %(generation)s
RETURNING id
""")

_ADD_REFRESH = """
INSERT INTO refresh_tokens (token_hash, session_id, expires_at)
SELECT %(hash)s, id, expires_at FROM sessions WHERE id = %(session)s
"""

# A session of a release that did not write down its generation counts until something about the user changes.
_REFRESH = """
SELECT refresh_tokens.used_at IS NOT NULL AS used, sessions.id AS session_id,
       sessions.revoked_at IS NOT NULL OR sessions.expires_at <= now() OR NOT users.active
       OR NOT coalesce(sessions.token_generation = users.token_generation, sessions.created_at > users.updated_at)
           AS ended,
       users.id, users.email, users.role, users.token_generation
FROM refresh_tokens JOIN sessions ON sessions.id = refresh_tokens.session_id JOIN users ON users.id = sessions.user_id
WHERE token_hash = %s
FOR UPDATE OF refresh_tokens
"""

_USE_REFRESH = audited("""
UPDATE refresh_tokens SET used_at = now() WHERE token_hash = %(hash)s RETURNING session_id AS id
""")

_END_SESSION = audited("""
UPDATE sessions SET revoked_at = coalesce(revoked_at, now()) WHERE id = %(session)s RETURNING id
""")

_ADD_REVOKED = """
INSERT INTO revoked_tokens (jti, expires_at) VALUES (%s, to_timestamp(%s)) ON CONFLICT DO NOTHING
"""

_SET_PASSWORD = audited("""
UPDATE users SET password_hash = %(hash)s, token_generation = token_generation + 1, version = version + 1,
                 updated_at = now()
WHERE id = %(user)s RETURNING id
""")

_REHASH = "UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s"

_END_ALL_SESSIONS = audited("""
UPDATE users SET token_generation = token_generation + 1, version = version + 1, updated_at = now()
WHERE id = %(user)s RETURNING id
""")

# In one order, so that two who do this at once do not wait for each other.
_END_SESSIONS_OF_EVERYBODY = """
UPDATE users SET token_generation = token_generation + 1, version = version + 1, updated_at = now()
FROM (SELECT id FROM users ORDER BY id FOR UPDATE) AS everybody WHERE users.id = everybody.id
"""

_NOTE = audited("SELECT %(user)s::uuid AS id")

# An address that an account logged in from is none of those that it has in common with everybody else.
_SUBJECTS = """
SELECT %(account)s::bytea AS account, %(address)s::bytea AS address
UNION ALL SELECT '', %(address)s
UNION ALL SELECT %(account)s, '' WHERE NOT EXISTS (
    SELECT FROM familiar_addresses WHERE account = %(account)s AND address = %(address)s AND expires_at > now()
)
"""

_WAIT = f"""
SELECT ceil(extract(epoch FROM max(not_before) - clock_timestamp()))::int AS seconds
FROM login_attempts WHERE (account, address) IN ({_SUBJECTS}) AND not_before > clock_timestamp()
"""

_FAILED = "CASE WHEN old.expires_at > clock_timestamp() THEN old.failures + 1 ELSE 1 END"
_FREE = """
CASE WHEN old.account = '' THEN %(per_address)s WHEN old.address = '' THEN %(elsewhere)s ELSE %(per_account)s END
"""
# The first failure beyond what is free costs a second.
_DELAY = f"""
make_interval(secs => CASE WHEN {_FAILED} < {_FREE} THEN 0
                      ELSE least(%(window_seconds)s, 2 ^ least({_FAILED} - {_FREE}, 30)) END)
"""
_UNTIL = "CASE WHEN old.expires_at > clock_timestamp() THEN old.expires_at ELSE excluded.expires_at END"

# In the order of the subjects: two logins at once must not wait for each other. What has to wait is not updated, and
# so not returned. The first failure is never one too many.
_COUNT_ATTEMPT = f"""
WITH subjects AS ({_SUBJECTS}), counted AS (
    INSERT INTO login_attempts AS old (account, address, failures, not_before, expires_at)
    SELECT account, address, 1, now(), now() + make_interval(secs => %(window_seconds)s)
    FROM subjects ORDER BY account, address
    ON CONFLICT (account, address) DO UPDATE SET
        failures = {_FAILED},
        not_before = clock_timestamp() + {_DELAY},
        expires_at = greatest({_UNTIL}, clock_timestamp() + {_DELAY})
    WHERE old.not_before <= clock_timestamp()
    RETURNING account, address
)
SELECT account, address, (SELECT count(*) FROM subjects) = (SELECT count(*) FROM counted) AS allowed FROM counted
"""

_TAKE_BACK = """
WITH counted AS (
    SELECT account, address FROM login_attempts
    WHERE (account, address) IN (SELECT * FROM unnest(%s::bytea[], %s::bytea[]))
    ORDER BY account, address FOR UPDATE
)
UPDATE login_attempts AS old SET failures = greatest(0, failures - 1), not_before = least(not_before, now())
FROM counted WHERE old.account = counted.account AND old.address = counted.address
"""

_FORGET_ATTEMPTS = "DELETE FROM login_attempts WHERE account = %s"

_WELCOME = """
WITH forgotten AS (DELETE FROM login_attempts WHERE account = %(account)s AND address = %(address)s)
INSERT INTO familiar_addresses (account, address, expires_at)
VALUES (%(account)s, %(address)s, now() + interval '90 days')
ON CONFLICT (account, address) DO UPDATE SET expires_at = excluded.expires_at
"""

_FIRST_ADMINISTRATOR = """
INSERT INTO users (email, password_hash, role)
SELECT %s, %s, 'admin' WHERE NOT EXISTS (SELECT FROM users WHERE role = 'admin')
ON CONFLICT (email) DO NOTHING
"""


async def session_state(pool: Pool, user: str, session: str, jti: str) -> DictRow | None:
    """Whether a token's session is open, and the user's present role."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_STATE, {"user": user, "session": session, "jti": jti})
        return await cursor.fetchone()


async def user_by_email(pool: Pool, email: str) -> DictRow | None:
    """The user with what a login needs."""
    async with pool.connection() as connection:
        return await (await connection.execute(_USER, (email,))).fetchone()


async def user_by_id(pool: Pool, user: str) -> DictRow | None:
    """The same by id."""
    async with pool.connection() as connection:
        return await (await connection.execute(_USER_OF_ID, (user,))).fetchone()


async def open_session(
    connection: Connection, user: DictRow, refresh_hash: bytes, seconds: int, entry: dict[str, Any]
) -> str | None:
    """Begin a session with its first refresh token; None when the user was disabled meanwhile."""
    parameters = {"user": user["id"], "generation": user["token_generation"], "seconds": seconds, **entry}
    row = await (await connection.execute(_OPEN_SESSION, parameters)).fetchone()
    if row is None:
        return None
    await connection.execute(_ADD_REFRESH, {"hash": refresh_hash, "session": row["id"]})
    session: str = row["id"]
    return session


async def lock_refresh(connection: Connection, refresh_hash: bytes) -> DictRow | None:
    """The session and user of a refresh token, locked until the end of the transaction."""
    return await (await connection.execute(_REFRESH, (refresh_hash,))).fetchone()


async def use_refresh(connection: Connection, used: bytes, fresh: bytes, session: str, entry: dict[str, Any]) -> None:
    """Exchange a refresh token for the next one."""
    await connection.execute(_USE_REFRESH, {"hash": used, **entry})
    await connection.execute(_ADD_REFRESH, {"hash": fresh, "session": session})


async def end_session(connection: Connection, session: str, entry: dict[str, Any]) -> None:
    """Make all tokens of a session invalid."""
    await connection.execute(_END_SESSION, {"session": session, **entry})


async def revoke_token(connection: Connection, jti: str, expires: int) -> None:
    """Put a token on the list of those that are refused."""
    await connection.execute(_ADD_REVOKED, (jti, expires))


async def set_password(connection: Connection, user: str, password_hash: str, entry: dict[str, Any]) -> bool:
    """Change a password, which ends all sessions; whether there is such a user."""
    cursor = await connection.execute(_SET_PASSWORD, {"user": user, "hash": password_hash, **entry})
    return cursor.rowcount == 1


async def rehash(pool: Pool, user: str, old: str, new: str) -> None:
    """Store a better hash of the same password."""
    async with pool.connection() as connection:
        await connection.execute(_REHASH, (new, user, old))


async def end_all_sessions(connection: Connection, user: str, entry: dict[str, Any]) -> bool:
    """Make all tokens of a user invalid; whether there is such a user."""
    return (await connection.execute(_END_ALL_SESSIONS, {"user": user, **entry})).rowcount == 1


async def end_sessions_of_everybody(connection: Connection, entry: dict[str, Any]) -> None:
    """Make all tokens invalid. Needs a transaction."""
    await connection.execute(_END_SESSIONS_OF_EVERYBODY)
    await connection.execute(_NOTE, {"user": None, **entry})


async def seconds_to_wait(connection: Connection, account: bytes, address: bytes) -> int | None:
    """Until an account may be tried again from an address; None or 0 for now."""
    row = await (await connection.execute(_WAIT, {"account": account, "address": address})).fetchone()
    return row["seconds"] if row else None


async def count_attempt(
    connection: Connection, account: bytes, address: bytes, limits: dict[str, int]
) -> list[tuple[bytes, bytes]] | None:
    """Count a failure; what it was counted for, or None when one of them has to wait: then roll back."""
    parameters = {"account": account, "address": address, **limits}
    rows = await (await connection.execute(_COUNT_ATTEMPT, parameters)).fetchall()
    if not rows or not rows[0]["allowed"]:
        return None
    return [(bytes(row["account"]), bytes(row["address"])) for row in rows]


async def take_back_attempt(connection: Connection, counted: list[tuple[bytes, bytes]]) -> None:
    """Count one failure less."""
    await connection.execute(_TAKE_BACK, ([account for account, _ in counted], [address for _, address in counted]))


async def welcome(connection: Connection, account: bytes, address: bytes) -> None:
    """An account logged in from here."""
    await connection.execute(_WELCOME, {"account": account, "address": address})


async def id_of(connection: Connection, email: str) -> str | None:
    """The user with an address."""
    row = await (await connection.execute(_USER, (email,))).fetchone()
    return row["id"] if row else None


async def forget_attempts(connection: Connection, account: bytes, user: str, entry: dict[str, Any]) -> None:
    """Let an account log in at once from everywhere. Needs a transaction."""
    await connection.execute(_FORGET_ATTEMPTS, (account,))
    await connection.execute(_NOTE, {"user": user, **entry})


async def forget_all_attempts(connection: Connection, entry: dict[str, Any]) -> None:
    """Let every account log in at once from everywhere. Needs a transaction."""
    await connection.execute("DELETE FROM login_attempts")
    await connection.execute(_NOTE, {"user": None, **entry})


async def add_first_administrator(pool: Pool, email: str, password_hash: str) -> bool:
    """Make an administrator if there is none; whether one was made."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_FIRST_ADMINISTRATOR, (email, password_hash))
        return cursor.rowcount == 1


async def has_administrator(pool: Pool) -> bool:
    """Whether there is an administrator."""
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT FROM users WHERE role = 'admin' LIMIT 1")
        return cursor.rowcount == 1
