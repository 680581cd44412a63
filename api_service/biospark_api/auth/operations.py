"""Log in, stay logged in, log out."""

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any

from psycopg.rows import DictRow
from starlette.responses import Response

from biospark_api.auth import queries
from biospark_api.auth.models import Credentials, JsonWebKeySet, Me, PasswordChange, RefreshRequest, Session
from biospark_api.database.pool import transaction
from biospark_api.http.calls import Call, Operations, answer
from biospark_api.http.contract import SMALL, Contract
from biospark_api.http.problems import ProblemError
from biospark_api.security import throttle
from biospark_api.security.permissions import PERMISSIONS, Permission, Role
from biospark_api.security.tokens import Principal, unauthorized

auth = Operations("/api/v1/auth", "auth")
keys = Operations("/.well-known", "auth")

_LOGIN = Contract("Log in", answer=Session, body=Credentials, largest=SMALL, problems=(401, 429))
_REFRESH = Contract(
    "Get the next token of a session", answer=Session, body=RefreshRequest, largest=SMALL, problems=(401,)
)
_ME = Contract("Tell whose token this is", answer=Me)
_LOGOUT = Contract("Log out", status=204)
_SESSIONS = Contract("End all own sessions", status=204)
_PASSWORD = Contract("Change the own password", status=204, body=PasswordChange, problems=(429,))
_JWKS = Contract("Get the keys that verify tokens", answer=JsonWebKeySet)


@auth.add("POST", "/login", "auth.login", None, _LOGIN)
async def login(call: Call) -> Response:
    """The answer takes as long, and says the same, for a wrong password and for a user who does not exist."""
    given = await call.body(Credentials)
    services = call.services
    attempt = await _counted(call, given.email)
    user = await queries.user_by_email(services.pool, given.email)
    call.target = user["id"] if user else None
    right = await _verified(call, attempt, user, given.password)
    if user is None or not right or not user["active"]:
        raise _refused()
    if services.passwords.outdated(user["password_hash"]):
        better = await services.passwords.hash(given.password)
        await queries.rehash(services.pool, user["id"], user["password_hash"], better)
    call.act_as(_principal(user))
    refresh = _new_refresh_token()
    async with transaction(services.pool) as connection:
        seconds = services.settings.refresh_lifetime_seconds
        session = await queries.open_session(connection, user, _hash(refresh), seconds, call.entry())
        if session is None:
            raise _refused()
        await attempt.succeeded(connection)
    return _session(call, user, session, refresh)


@auth.add("POST", "/refresh", "auth.refresh", None, _REFRESH)
async def refresh_session(call: Call) -> Response:
    """A refresh token that comes a second time was stolen, from whoever comes first or last: the session ends."""
    used = _hash((await call.body(RefreshRequest)).refresh_token)
    fresh = _new_refresh_token()
    async with transaction(call.services.pool) as connection:
        row = await queries.lock_refresh(connection, used)
        if row is None or row["ended"]:
            raise unauthorized("The session has ended; log in again.")
        call.act_as(_principal(row))
        call.target = row["session_id"]
        if not row["used"]:
            await queries.use_refresh(connection, used, _hash(fresh), row["session_id"], call.entry())
            return _session(call, row, row["session_id"], fresh)
        # Kept, though the answer is a refusal: the transaction ends without an exception.
        await queries.end_session(connection, row["session_id"], call.entry(401))
    call.services.tokens.forget_session(row["session_id"])
    raise unauthorized("The refresh token was used before, so the session has ended; log in again.")


@auth.add("GET", "/me", "auth.me", Permission.OWN_SESSION, _ME)
async def me(call: Call) -> Response:
    """Validates the token, too: without a valid one the answer is 401."""
    who = call.principal
    return answer(
        {
            "id": who.user_id,
            "email": who.email,
            "role": who.role.value,
            "permissions": sorted(permission.value for permission in PERMISSIONS[who.role]),
            "expires_at": datetime.fromtimestamp(who.expires, UTC).isoformat().replace("+00:00", "Z"),
        }
    )


@auth.add("POST", "/logout", "auth.logout", Permission.OWN_SESSION, _LOGOUT)
async def logout(call: Call) -> Response:
    """Ends the session: the token, those before it and the refresh token are refused from now on."""
    who = call.principal
    call.target = who.session_id
    async with transaction(call.services.pool) as connection:
        await queries.revoke_token(connection, who.jti, who.expires)
        await queries.end_session(connection, who.session_id, call.entry(204))
    call.services.tokens.forget_session(who.session_id)
    return Response(status_code=204)


@auth.add("POST", "/password", "auth.change_password", Permission.OWN_SESSION, _PASSWORD)
async def change_password(call: Call) -> Response:
    """Ends all sessions of the user, this one as well: log in again with the new password."""
    given = await call.body(PasswordChange)
    services, who = call.services, call.principal
    call.target = who.user_id
    attempt = await _counted(call, who.email)
    user = await queries.user_by_id(services.pool, who.user_id)
    if not await _verified(call, attempt, user, given.current):
        raise _refused()
    stored = await services.passwords.new(given.password, about=who.email)
    async with transaction(services.pool) as connection:
        await attempt.succeeded(connection)
        await queries.set_password(connection, who.user_id, stored, call.entry(204))
    services.tokens.forget_user(who.user_id)
    return Response(status_code=204)


@auth.add("DELETE", "/sessions", "auth.end_sessions", Permission.OWN_SESSION, _SESSIONS)
async def end_own_sessions(call: Call) -> Response:
    """Logs the user out everywhere, here as well: no token and no refresh token of before is accepted."""
    call.target = call.principal.user_id
    async with call.services.pool.connection() as connection:
        await queries.end_all_sessions(connection, call.target, call.entry(204))
    call.services.tokens.forget_user(call.target)
    return Response(status_code=204)


@keys.add("GET", "/jwks.json", "auth.jwks", None, _JWKS)
async def jwks(call: Call) -> Response:
    """For gateways and other services (RFC 7517)."""
    # Public, the same for all, and about nobody: not worth a line of the audit log.
    call.audited = True
    return answer(call.services.tokens.ring.jwks(), headers={"Cache-Control": "public, max-age=60"})


def _refused() -> Any:
    return unauthorized("The e-mail address or the password is wrong.", None)


async def _counted(call: Call, email: str) -> throttle.CountedAttempt:
    services = call.services
    services.passwords.refuse_beyond_queue()
    return await throttle.count(services.limits, throttle.attempt_of(email, call.client_address), services.pool)


async def _verified(call: Call, attempt: throttle.CountedAttempt, user: DictRow | None, password: str) -> bool:
    try:
        return await call.services.passwords.verify(user["password_hash"] if user else None, password)
    except ProblemError:  # too many wait
        await attempt.take_back(call.services.pool)
        raise


def _principal(user: DictRow) -> Principal:
    return Principal(user["id"], user["email"], Role(user["role"]), "", "", user["token_generation"], 0)


def _session(call: Call, user: DictRow, session: str, refresh: str) -> Response:
    tokens = call.services.tokens
    return answer(
        {
            "token": tokens.issue(user, session),
            "token_type": "Bearer",
            "expires_in": tokens.lifetime,
            "refresh_token": refresh,
        }
    )


def _new_refresh_token() -> str:
    return secrets.token_urlsafe(32)


def _hash(refresh_token: str) -> bytes:
    return hashlib.sha256(refresh_token.encode()).digest()
