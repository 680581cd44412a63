"""What an entry of the audit log is, and how one is written together with a change.

Entries of changes are part of the statement that changes: both happen or neither does. All others go through
`log`. An entry names ids only; names, addresses and health data are in the tables that it refers to.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

COLUMNS = ("actor", "actor_role", "action", "target", "outcome", "status", "request_id", "address")

_ENTRY = """
INSERT INTO audit_log (actor, actor_role, action, target, outcome, status, request_id, address)
SELECT %(audit_actor)s::uuid, %(audit_actor_role)s, %(audit_action)s, coalesce(%(audit_target)s::uuid, changed.id),
       %(audit_outcome)s, %(audit_status)s::integer, %(audit_request_id)s, %(audit_address)s::inet
FROM changed
"""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the log. `target` is left out where the statement knows it."""

    action: str
    outcome: str
    status: int
    actor: str | None = None
    actor_role: str | None = None
    target: str | None = None
    request_id: str | None = None
    address: str | None = None
    shown: str | None = None
    """What a list or search showed, as `ids` writes it; only in entries of reads."""

    def parameters(self) -> dict[str, Any]:
        """What `audited` statements are executed with, besides their own parameters."""
        return {f"audit_{column}": getattr(self, column) for column in COLUMNS}


def ids(shown: Iterable[str]) -> str:
    """Ids as PostgreSQL writes an array: one text, since a queue full of lists would hold a text for each of them."""
    return f"{{{','.join(shown)}}}"


def audited(statement: str) -> str:
    """A changing statement that returns `id`, and its audit entry, as one statement."""
    return f"WITH changed AS ({statement}), entry AS ({_ENTRY}) SELECT * FROM changed"
