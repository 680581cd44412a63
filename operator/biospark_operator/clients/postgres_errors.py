"""Turns what goes wrong with PostgreSQL into the vocabulary of `engine.errors`. Pure; used by `postgres`.

The messages reach conditions and Events. They are made here from the SQLSTATE, the server and the purpose: what
the server says, its DETAIL above all, quotes values and statements, so none of it is repeated. The one exception
is a missing right, whose primary message names objects only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import psycopg

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.engine.errors import AccessError, OutsideError, RejectedError, UnavailableError

#: What a call of psycopg may raise, whatever went wrong.
FAULTS = (psycopg.Error, TimeoutError, OSError)

#: SQLSTATEs, or their two-character classes, of what may work the next time, with what they say.
_PASSING: Mapping[str, str] = MappingProxyType(
    {
        "08": "the connection was lost",
        "25006": "the server is read-only; it may be a standby, or a primary that ran out of disk space",
        "3D000": "the database does not exist (any more)",
        "40": "another transaction was in the way",
        "42704": "something that was there is gone",
        "42P04": "the database was created meanwhile",
        "42710": "it was created meanwhile",
        "53100": "the disk of the server is full",
        "53300": "no connection is free; raise max_connections of the server or connectionLimit of the database",
        "53": "the server has not enough resources",
        "55000": "the server is not in the right state",
        "55006": "it is in use",
        "55P03": "a lock is held by somebody else",
        "57014": "it took too long",
        "57": "the server is starting, stopping or was restarted",
        "58": "the server has trouble with its disk or system",
        "XX": "the server met an internal error; see its log",
    }
)
#: SQLSTATEs of what stays wrong until somebody changes something, with what they say.
_LASTING: Mapping[str, str] = MappingProxyType(
    {
        "0A000": "the server does not support it, or the extension is not installed on the server",
        "22023": "the server does not support such a value",
        "2BP01": "other objects depend on it; drop or reassign them",
        "42710": "it exists already",
        "58P01": "a file is missing on the server; install the extension there",
    }
)
#: What a refused connection says, in the order of looking: libpq hands no SQLSTATE over. A server that speaks
#: another language gets the general answer.
_CONNECTING: Sequence[tuple[str, str]] = (
    ("password authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ("is not permitted to log in", "28000"),
    ("no pg_hba.conf entry", "28000"),
    ("pg_hba.conf rejects", "28000"),
    ("too many clients already", "53300"),
    ("too many connections", "53300"),
    ("remaining connection slots", "53300"),
    ("the database system is", "57P03"),
    ("is not currently accepting connections", "55000"),
    ("certificate", "TLS"),
    ("SSL", "TLS"),
    ("permission denied for database", "42501"),
)


class LoginRefusedError(AccessError):
    """The server does not accept user and password."""


class MissingDatabaseError(UnavailableError):
    """The database does not exist."""


def translated(error: Exception, purpose: str, server: str) -> OutsideError:
    """Say what `error` means for someone who wanted to `purpose` ("read role x") on `server` ("host:port")."""
    state = _state(error)
    doing = f"could not {purpose} on {server}"
    match state:
        case "28P01":
            return LoginRefusedError(
                f"{doing}: it does not accept user and password; correct the Secret that holds them",
                reason=Reason.DATABASE_LOGIN_REFUSED,
            )
        case "28000":
            return AccessError(
                f"{doing}: it does not let this user in from here; see pg_hba.conf and the role",
                reason=Reason.DATABASE_LOGIN_REFUSED,
            )
        case "42501":
            said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
            return AccessError(
                f"{doing}: {said or 'access denied'}; grant the operator's role this right, or do it as a superuser"
            )
        case "TLS":
            return AccessError(
                f"{doing}: no secure connection; check sslMode, the server's certificate and the authority in "
                "caSecretRef",
                reason=Reason.DATABASE_CERTIFICATE_REFUSED,
            )
        case "3D000":
            return MissingDatabaseError(f"{doing}: {_PASSING['3D000']}; retrying")
        case "":
            return RejectedError(f"{doing}: the answer can't be read; the operator does not know this server")
        case None:
            return UnavailableError(f"{doing}: no answer; check host, port and what stands between; retrying")
    if said := _PASSING.get(state) or _PASSING.get(state[:2] if state not in _LASTING else ""):
        return UnavailableError(f"{doing}: {said}; retrying")
    return RejectedError(f"{doing}: {_LASTING.get(state, 'the server refuses it')} (SQLSTATE {state})")


def unreachable(error: OutsideError) -> bool:
    """Whether nobody answered at all, so that there is no use in trying the next connection at once."""
    return isinstance(error, UnavailableError) and ": no answer;" in error.message


def _state(error: Exception) -> str | None:
    """Return the SQLSTATE, "TLS" for a failed handshake, "" for an answer that is none, None for no answer."""
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate:
        return error.sqlstate
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ""
    text = str(error)
    if found := next((state for words, state in _CONNECTING if words in text), None):
        return found
    if "FATAL:" in text and "does not exist" in text:
        return "3D000" if "database" in text else "28000"
    return None
