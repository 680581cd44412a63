"""The operations on users."""

from starlette.responses import Response

from biospark_api.auth import queries as auth_queries
from biospark_api.database.connection import Connection
from biospark_api.database.pool import transaction
from biospark_api.http.calls import Call, Operations, answer
from biospark_api.http.contract import Contract
from biospark_api.http.idempotency import once
from biospark_api.http.paging import Page, cut, link_by_cursor
from biospark_api.http.preconditions import expected_versions, refuse_change, tagged, tagged_if_changed
from biospark_api.http.problems import ProblemError
from biospark_api.security.permissions import Permission, Role
from biospark_api.security.throttle import account_of
from biospark_api.users import queries
from biospark_api.users.models import NewUser, PasswordReset, User, UserChange

users = Operations("/api/v1/users", "users")

_LIST = Contract("List users", answer=list[User], query=Page, gives=("Link",))
_CREATE = Contract(
    "Create a user",
    answer=User,
    status=201,
    body=NewUser,
    takes=("Idempotency-Key",),
    gives=("ETag", "Location"),
    problems=(409,),
)
_GET = Contract("Get a user", answer=User, takes=("If-None-Match",), gives=("ETag",))
_CHANGE = Contract(
    "Change a user",
    answer=User,
    body=UserChange,
    takes=("If-Match",),
    gives=("ETag",),
    problems=(409,),
    media_types=("application/merge-patch+json", "application/json"),
)
_SESSIONS = Contract("End all sessions of a user", status=204)
_ALL_SESSIONS = Contract("End all sessions of everybody", status=204)
_UNLOCK = Contract("Let a user log in at once", status=204)
_RESET = Contract("Reset a user's password", status=204, body=PasswordReset)


@users.add("GET", "", "users.list", Permission.READ_USERS, _LIST)
async def list_users(call: Call) -> Response:
    """The newest first."""
    page = call.query(Page)
    found = await queries.page(call.services.pool, {**page.after(), "limit": page.limit + 1})
    rows, following = cut(found, page.limit, "created_at")
    return answer(call.showing(rows), headers=link_by_cursor(page, following))


@users.add("POST", "", "users.create", Permission.WRITE_USERS, _CREATE)
async def create_user(call: Call) -> Response:
    """The user can log in at once."""
    user = await call.body(NewUser)
    # Before the transaction: a connection is not kept for the time of a hash.
    stored = await call.services.passwords.new(user.password, about=user.email)

    async def create(connection: Connection) -> Response:
        values = {"email": user.email, "hash": stored, "role": user.role.value}
        row = await queries.create(connection, values, call.entry(201))
        return tagged(row, 201, {"Location": f"{call.path}/{row['id']}"})

    return await once(call, create)


@users.add("GET", "/{user_id}", "users.get", Permission.READ_USERS, _GET)
async def get_user(call: Call) -> Response:
    """Without anything about the password."""
    call.target = call.id("user_id")
    async with call.services.pool.connection() as connection:
        row = await queries.get(connection, call.target)
    return tagged_if_changed(call, row)


@users.add("PATCH", "/{user_id}", "users.change", Permission.WRITE_USERS, _CHANGE)
async def change_user(call: Call) -> Response:
    """Role, and whether the user is active. The last active administrator stays one."""
    change = await call.body(UserChange)
    call.target = call.id("user_id")
    values = change.model_dump(mode="json", exclude_unset=True)
    keeps = values.get("role", Role.ADMIN.value) == Role.ADMIN.value and values.get("active", True)
    async with transaction(call.services.pool) as connection:
        if not keeps and await queries.lock_administrators(connection) == {call.target}:
            raise ProblemError(409, "This is the last active administrator; make another one first.")
        versions = expected_versions(call)
        row = await queries.change(connection, call.target, values, versions, call.entry())
        if row is None:
            raise refuse_change(await queries.get(connection, call.target))
    call.services.tokens.forget_user(call.target)
    return tagged(row)


@users.add("POST", "/{user_id}/password", "users.reset_password", Permission.WRITE_USERS, _RESET)
async def reset_password(call: Call) -> Response:
    """Ends all sessions of the user."""
    reset = await call.body(PasswordReset)
    call.target = call.id("user_id")
    stored = await call.services.passwords.new(reset.password)
    async with call.services.pool.connection() as connection:
        if not await auth_queries.set_password(connection, call.target, stored, call.entry(204)):
            raise refuse_change(None)
    call.services.tokens.forget_user(call.target)
    return Response(status_code=204)


@users.add("DELETE", "/{user_id}/sessions", "users.end_sessions", Permission.WRITE_USERS, _SESSIONS)
async def end_sessions(call: Call) -> Response:
    """No token and no refresh token of the user is accepted any longer; the password stays."""
    call.target = call.id("user_id")
    async with call.services.pool.connection() as connection:
        if not await auth_queries.end_all_sessions(connection, call.target, call.entry(204)):
            raise refuse_change(None)
    call.services.tokens.forget_user(call.target)
    return Response(status_code=204)


@users.add("DELETE", "/sessions", "users.end_all_sessions", Permission.WRITE_USERS, _ALL_SESSIONS)
async def end_sessions_of_everybody(call: Call) -> Response:
    """Everybody has to log in again, the caller as well. For a signing key that somebody else may have seen."""
    async with transaction(call.services.pool) as connection:
        await auth_queries.end_sessions_of_everybody(connection, call.entry(204))
    call.services.tokens.forget_everybody()
    return Response(status_code=204)


@users.add("DELETE", "/{user_id}/failures", "users.unlock", Permission.WRITE_USERS, _UNLOCK)
async def unlock_user(call: Call) -> Response:
    """Forgets the wrong passwords of the user's address, so that nobody has to wait before the next login."""
    call.target = call.id("user_id")
    async with transaction(call.services.pool) as connection:
        user = await queries.get(connection, call.target)
        if user is None:
            raise refuse_change(None)
        await auth_queries.forget_attempts(connection, account_of(user["email"]), call.target, call.entry(204))
    return Response(status_code=204)
