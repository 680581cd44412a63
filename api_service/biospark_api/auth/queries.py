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
INSERT INTO sessions (user_id, expires_at)
SELECT id, now() + make_interval(secs => %(seconds)s) FROM users
WHERE id = %(user)s AND active AND token_generation = %(generation)s
RETURNING id
""")

_ADD_REFRESH = """
INSERT INTO refresh_tokens (token_hash, session_id, expires_at)
SELECT %(hash)s, id, expires_at FROM sessions WHERE id = %(session)s
"""

_REFRESH = """
SELECT refresh_tokens.used_at IS NOT NULL AS used, sessions.id AS session_id,
       sessions.revoked_at IS NOT NULL OR sessions.expires_at <= now() OR NOT users.active AS ended,
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

_FAILURES = """
SELECT subject, failures, greatest(1, ceil(extract(epoch FROM expires_at - now())))::int AS seconds
FROM login_failures WHERE subject = ANY(%s) AND expires_at > now()
"""

# In the order of the subjects: two logins at once must not wait for each other.
_ADD_FAILURES = """
INSERT INTO login_failures AS old (subject, failures, expires_at)
SELECT subject, 1, now() + make_interval(secs => %s) FROM unnest(%s) AS subject ORDER BY subject
ON CONFLICT (subject) DO UPDATE SET
    failures = CASE WHEN old.expires_at > now() THEN old.failures + 1 ELSE 1 END,
    expires_at = CASE WHEN old.expires_at > now() THEN old.expires_at ELSE excluded.expires_at END
"""

_CLEAR_FAILURES = "DELETE FROM login_failures WHERE subject = %s"

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


async def failures(pool: Pool, subjects: list[bytes]) -> list[DictRow]:
    """Failures in the present window, and the seconds until it ends."""
    async with pool.connection() as connection:
        return await (await connection.execute(_FAILURES, (subjects,))).fetchall()


async def add_failures(pool: Pool, subjects: list[bytes], window_seconds: int) -> None:
    """Count one failure for each subject."""
    async with pool.connection() as connection:
        await connection.execute(_ADD_FAILURES, (window_seconds, subjects))


async def clear_failures(connection: Connection, subject: bytes) -> None:
    """Forget the failures of an account."""
    await connection.execute(_CLEAR_FAILURES, (subject,))


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
