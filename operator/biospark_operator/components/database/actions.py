"""What an action of the database does: the payloads that `plan` makes and `component` carries out."""

from __future__ import annotations

from dataclasses import dataclass, field

from biospark_operator.clients.postgres.address import MAINTENANCE
from biospark_operator.components.database.statements import Statement
from biospark_operator.components.secrets.store import Credential, Slot


@dataclass(frozen=True, slots=True)
class Run:
    """Statements to execute in a database, as the operator's own role or as `role`."""

    statements: tuple[Statement, ...]
    database: str = MAINTENANCE
    role: str | None = None
    transaction: bool = True


@dataclass(frozen=True, slots=True)
class SetPassword:
    """Give a login, made first by `statements`, a new password, and put it into the store."""

    slot: Slot
    login: str
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Put into the store, which has the right password already, what goes with it."""

    slot: Slot
    wanted: Credential = field(repr=False)
