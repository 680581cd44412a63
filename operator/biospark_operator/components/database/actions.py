"""What an action of the database does: the payloads that `plan` makes and `component` carries out."""

from __future__ import annotations

from dataclasses import dataclass, field

from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.clients.postgres.server import MAINTENANCE
from biospark_operator.components.database.credentials import Account
from biospark_operator.components.database.statements import Statement


@dataclass(frozen=True, slots=True)
class Run:
    """Statements to execute in a database, as the operator's own role or as `role`."""

    statements: tuple[Statement, ...]
    database: str = MAINTENANCE
    role: str | None = None
    transaction: bool = True


@dataclass(frozen=True, slots=True)
class SetPassword:
    """Give a login, made first by `statements`, a new password, and write it into the Secret."""

    account: Account
    login: str
    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Apply a Secret that holds the right password already."""

    manifest: Manifest = field(repr=False)
