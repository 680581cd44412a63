"""What a failed statement means for the client. Used around each operation.

PostgreSQL's messages quote the row ("Key (email)=(jane@example.org) already exists"), so nothing of them is passed
on: the answer is made from the SQLSTATE and the name of the constraint.
"""

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from biospark_api.http.faults import Fault
from biospark_api.http.problems import ProblemError

RETRY_SECONDS = 1
"""What clients are told to wait while the database is busy or away."""

_FIELD_OF = {
    "patients_email_key": ("email", "Another patient has this address"),
    "users_email_key": ("email", "Another user has this address"),
}
# The value does not fit its column, and no validation noticed.
_NOT_STORABLE = {"22P02", "22P05", "22021", "22001", "22003", "22007", "22008", "22026", "22032", "54000", "54001"}
# Two transactions met; the same request may succeed now.
_CONFLICTS = {"40001", "40P01", "55P03"}
# Timed out, shutting down, starting up, out of connections or memory, not reachable, read-only after a failover.
_AWAY = ("08", "53", "57", "58", "25006", "28")


# Shut down, crashed, or cut off: whatever was asked for did not happen, or nobody knows.
_LOST = ("08", "57P01", "57P02")


class ShareInUseError(PoolTimeout):
    """The caller has all connections in use that one may have."""


class StuckError(psycopg.OperationalError):
    """The server neither answered in time nor ended the statement."""


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection was lost. On another one the same may succeed."""
    if not isinstance(error, psycopg.OperationalError) or isinstance(error, PoolTimeout | TooManyRequests | PoolClosed):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_LOST)


def problem_of(error: psycopg.Error) -> ProblemError | None:
    """The problem to answer with; None for what is a fault of this service."""
    if isinstance(error, ShareInUseError):
        return _unavailable("Too many requests of yours are under way.")
    if isinstance(error, PoolTimeout | TooManyRequests | PoolClosed):
        return _unavailable("The database has no free connection.")
    state, constraint = error.sqlstate, error.diag.constraint_name
    if state is None:
        # Made by the driver itself: a value that it cannot send, or a connection that is gone.
        if isinstance(error, psycopg.DataError):
            return _not_storable()
        return _unavailable("The database cannot be reached.") if isinstance(error, psycopg.OperationalError) else None
    if state == "23505":
        field, detail = _FIELD_OF.get(constraint or "", (None, "This exists already"))
        faults = [Fault(pointer=f"#/{field}", detail=detail)] if field else None
        return ProblemError(409, "The request conflicts with what is stored.", faults)
    if state == "23503":
        return ProblemError(409, "What the request refers to does not exist.")
    if state in {"23514", "23502"} or state in _NOT_STORABLE:
        return _not_storable()
    if state in _CONFLICTS:
        return _unavailable("Another request changes the same data.")
    return _unavailable("The database cannot be used now.") if state.startswith(_AWAY) else None


def _not_storable() -> ProblemError:
    return ProblemError(422, "A value of the request cannot be stored.")


def _unavailable(detail: str) -> ProblemError:
    return ProblemError(503, detail, headers={"Retry-After": str(RETRY_SECONDS)})
