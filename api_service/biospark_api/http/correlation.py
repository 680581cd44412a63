"""The id that ties a response, its log records and a user's question together.

`observation` sets it at the start of each request; `logs` and `problems` read it.
"""

import os
import re
from contextvars import ContextVar

HEADER = "X-Request-ID"

# Wide enough for UUIDs, ULIDs and the ids that gateways make. Neither "@" nor blanks: an id stands in the
# logs, where no e-mail address and no name may.
_ACCEPTED = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)


def accept_or_create(offered: str | None) -> str:
    """The caller's id when it is well-formed, else a new random one."""
    return offered if offered and _ACCEPTED.fullmatch(offered) else os.urandom(16).hex()
