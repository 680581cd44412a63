"""Credentials: which login is due, and what is handed to the API. Pure, but for `new_password`.

The store (`secrets.store`) is the only place where a password is; the server gets a verifier. It says also since when
the password is in use, so a restart of the operator forgets nothing. The order of a rotation, each step of which may
be the last before a crash:

1. The login that is not in use gets a password, made first if need be. Nobody uses it yet.
2. The store names it. From here on it is the one in use.
3. The pods of the API are replaced, because their template carries the time of the rotation (see `handover`).
4. The other login is dropped once all pods are new and it has no session.

What stopped after 1 begins anew with another password; what stopped later goes on where it was. A store that does not
say whether it took step 2 is read again: either it did, or that stopped after 1.

What is stored may come from a backup. So no password is ever read from it and given to a role: where that one does not
work, it was retired, and a new one is made. A time that is still to come is none at which a password was made: it is
replaced as well, or it would be the last one.
"""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from biospark_operator.api.v1alpha1.effective_spec import EffectiveDatabaseServer
from biospark_operator.api.v1alpha1.environment import ROTATE_REQUESTED_AT
from biospark_operator.clients.postgres.address import SSL_MODES
from biospark_operator.components.database.names import Names
from biospark_operator.components.database.state import Seen
from biospark_operator.components.handover import DATABASE_LOGIN
from biospark_operator.components.secrets.store import Credential, Slot
from biospark_operator.engine.component import Environment

#: Notes: when the password was made, and the request for a rotation that this answered.
ROTATED_AT, ROTATE_REQUEST = DATABASE_LOGIN.note, "rotate-request"
#: Names in the store of the environment.
SECRETS = APP_SECRET, READER_SECRET = DATABASE_LOGIN.credential, "biospark-database-reader"
#: Where pods have the first of them, one file for each of its keys: the URI in it names one of them.
MOUNTED_AT = "/etc/biospark/database"
#: Seconds that the login before stays after a rotation: who has just read the Secret may still want to log in.
GRACE = 60.0
#: Seconds that a time may be ahead of ours: clocks of nodes differ.
SKEW = 300.0
#: Characters below which a password is none that was made here.
_SHORTEST = 32


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who logs in, by the roles it alternates between, and the name of its credentials."""

    secret: str
    logins: tuple[str, ...]

    def other(self, login: str) -> str:
        """Return the login that is next, which is the same where there is only one."""
        return self.logins[(self.logins.index(login) + 1) % len(self.logins)]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login that is in use."""

    user: str
    password: str = field(repr=False)
    rotated_at: datetime
    request: str | None = None


def accounts(names: Names) -> tuple[Account, Account]:
    """Return the account of the API and that of readers."""
    return Account(APP_SECRET, names.logins), Account(READER_SECRET, (names.reader,))


def new_password() -> str:
    """Return a password of 256 random bits."""
    return random.token_urlsafe(32)


def stored(account: Account, slot: Slot | None) -> Credentials | None:
    """Return the credentials in a store, or None where it has none that can be used."""
    if slot is None or slot.held is None:
        return None
    notes = slot.held.notes
    try:
        user, password = (slot.held.text(key) for key in ("username", "password"))
        rotated_at = datetime.fromisoformat(notes[ROTATED_AT])
    except (KeyError, ValueError):
        return None
    if user not in account.logins or len(password) < _SHORTEST or rotated_at.tzinfo is None:
        return None
    return Credentials(user, password, rotated_at, notes.get(ROTATE_REQUEST))


def is_due(env: Environment, held: Credentials, now: datetime) -> bool:
    """Whether the password is old enough to be replaced, or of an unknown age, or somebody asked for it."""
    interval = env.spec.database.credentials.rotation_interval
    request = env.annotations.get(ROTATE_REQUESTED_AT)
    age = now - held.rotated_at
    return (
        age < timedelta(seconds=-SKEW)
        or (interval is not None and age >= interval)
        or (request is not None and request != held.request)
    )


def is_rolled_out(seen: Seen, held: Credentials) -> bool:
    """Whether everybody had the time to take these credentials up."""
    aged = (seen.now - held.rotated_at).total_seconds() >= GRACE
    return aged and seen.uptake.is_done(stamp(held.rotated_at))


def stamp(moment: datetime) -> str:
    """Return a moment as annotations and the status have it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def handed_over(
    env: Environment, server: EffectiveDatabaseServer, held: Credentials, authority: bytes | None
) -> Credential:
    """Return what hands credentials over, with all that a client needs to connect."""
    database, ssl_mode = env.spec.database.name, SSL_MODES[server.ssl_mode]
    host = f"[{server.host}]" if ":" in server.host else server.host
    user, password, path = (quote(part, safe="") for part in (held.user, held.password, database))
    query = {"sslmode": ssl_mode} | ({"sslrootcert": f"{MOUNTED_AT}/ca.crt"} if authority is not None else {})
    values = {
        "host": server.host,
        "port": str(server.port),
        "database": database,
        "username": held.user,
        "password": held.password,
        "sslmode": ssl_mode,
        "uri": f"postgresql://{user}:{password}@{host}:{server.port}/{path}?{urlencode(query, safe='/')}",
    }
    data = {key: value.encode() for key, value in values.items()}
    if authority is not None:
        data["ca.crt"] = authority
    return Credential(
        data, {ROTATED_AT: stamp(held.rotated_at)} | ({ROTATE_REQUEST: held.request} if held.request else {})
    )
