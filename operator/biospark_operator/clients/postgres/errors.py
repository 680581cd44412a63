"""Turns what goes wrong with PostgreSQL into the vocabulary of `engine.errors`. Pure; used by `server`.

The messages reach conditions and Events. They are made here from the SQLSTATE, the server and the purpose: what
the server says is in its own language, and its DETAIL above all quotes values and statements, so nothing is decided by
it and none of it is repeated. The one exception is a missing right, whose primary message names objects only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import psycopg

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.postgres.connecting import sqlstate
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
#: What libpq itself says of a connection that did not come about, in the order of looking. It speaks English only, and
#: nothing that a server says is among it: that has an SQLSTATE (see `postgres_connecting`).
_LIBPQ: Sequence[tuple[str, str]] = (
    ("authentication method requirement", "SCRAM"),
    ("failed to resolve host", "NAME"),
    ("certificate", "TLS"),
    ("SSL negotiation", "ALIEN"),
    ("expected authentication request", "ALIEN"),
    ("SSL", "TLS"),
    ("unsupported frontend protocol", "ALIEN"),
    ("Connection refused", "SILENT"),
    ("timeout expired", "SILENT"),
    ("timed out", "SILENT"),
    ("No route to host", "SILENT"),
    ("is unreachable", "SILENT"),
)
#: What of libpq's message names the server, which may be called anything.
_NAMED = re.compile(r'connection to server at ".*?"( \(.*?\))?, port \d+ failed: ')


class LoginRefusedError(AccessError):
    """The server does not accept user and password."""


class SilentError(UnavailableError):
    """Nobody answered at all, so there is no use in trying the next connection at once."""


class MissingDatabaseError(UnavailableError):
    """The database does not exist."""


def translated(error: Exception, purpose: str, server: str, *, plain: bool = False) -> OutsideError:
    """Say what `error` means for someone who wanted to `purpose` ("read role x") on `server` ("host:port").

    `plain` says that the connection was to be without TLS, which a server may refuse.
    """
    state = _state(error)
    doing = f"could not {purpose} on {server}"
    match state:
        case "28P01":
            return LoginRefusedError(
                f"{doing}: it does not accept user and password; correct the Secret that holds them",
                reason=Reason.DATABASE_LOGIN_REFUSED,
            )
        case "28000" if plain:
            return AccessError(
                f"{doing}: it does not let this user in from here without TLS; write sslMode: Require or a stronger "
                "one, or see pg_hba.conf and the role",
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
        case "3D000":
            return MissingDatabaseError(f"{doing}: {_PASSING['3D000']}; retrying")
    if (found := _without_answer(state, doing)) is not None:
        return found
    if said := _PASSING.get(state) or _PASSING.get(state[:2] if state not in _LASTING else ""):
        return UnavailableError(f"{doing}: {said}; retrying")
    return RejectedError(f"{doing}: {_LASTING.get(state, 'the server refuses it')} (SQLSTATE {state})")


def _without_answer(state: str, doing: str) -> OutsideError | None:
    """Say what it means that there is no SQLSTATE, None where there is one."""
    match state:
        case "SCRAM":
            return AccessError(
                f"{doing}: it does not ask for SCRAM-SHA-256, and gets no password in any other way; set "
                "password_encryption to scram-sha-256 there, set the password again, and see pg_hba.conf",
                reason=Reason.DATABASE_LOGIN_REFUSED,
            )
        case "TLS":
            return AccessError(
                f"{doing}: no secure connection; check sslMode, the server's certificate and the authority in "
                "caSecretRef",
                reason=Reason.DATABASE_CERTIFICATE_REFUSED,
            )
        case "NAME":
            return SilentError(f"{doing}: its name can't be resolved; check host, and the DNS server; retrying")
        case "ALIEN":
            return UnavailableError(f"{doing}: what answers there is not a PostgreSQL server; check port; retrying")
        case "UNREADABLE":
            return RejectedError(f"{doing}: the answer can't be read; the operator does not know this server")
        case "SILENT":
            return SilentError(f"{doing}: no answer; check host, port and what stands between; retrying")
        case "BROKEN":
            return UnavailableError(
                f"{doing}: the connection broke off; see the server's log, and what stands between; retrying"
            )
    return None


def unreachable(error: OutsideError) -> bool:
    """Whether nobody answered at all, so that there is no use in trying the next connection at once."""
    return isinstance(error, SilentError)


def _state(error: Exception) -> str:
    """Return the SQLSTATE, or in its place a word of `_LIBPQ` or another one for what has none."""
    if not isinstance(error, psycopg.Error):
        return "SILENT"
    if (answered := sqlstate(error)) is not None:
        return answered
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return "UNREADABLE"
    text = _NAMED.sub("", str(error))
    return next((state for words, state in _LIBPQ if words in text), "BROKEN")
