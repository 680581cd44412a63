"""`Idempotency-Key`: a POST that is sent twice, because its answer was lost, is done once.

The key is stored with the answer in the transaction of the change. A second request waits for the first one's
transaction, then gets its answer; after a failure nothing is stored, and it is a first request again.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable

from starlette.responses import Response

from biospark_api.calls import Call
from biospark_api.database.connection import Connection
from biospark_api.database.pool import transaction
from biospark_api.problems import ProblemError

LIFETIME_HOURS = 24
_KEPT_HEADERS = ("location", "etag")

_TAKE = """
INSERT INTO idempotency_keys (user_id, key, fingerprint, expires_at)
VALUES (%(user)s, %(key)s, %(fingerprint)s, now() + make_interval(hours => %(hours)s))
ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, expires_at = excluded.expires_at,
                                         status = NULL
WHERE idempotency_keys.expires_at <= now()
RETURNING true AS taken
"""

_STORED = "SELECT fingerprint, status, headers::text, body FROM idempotency_keys WHERE user_id = %s AND key = %s"

_KEEP = """
UPDATE idempotency_keys SET status = %s, headers = %s::jsonb, body = %s WHERE user_id = %s AND key = %s
"""


async def once(call: Call, create: Callable[[Connection], Awaitable[Response]]) -> Response:
    """Do `create`, or answer as it was answered under the same key. `create` must change by this connection only."""
    key = call.header(b"idempotency-key")
    if key is None:
        async with call.services.pool.connection() as connection:
            return await create(connection)
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise ProblemError(422, "Idempotency-Key should be 1 to 255 printable ASCII characters.")
    user, fingerprint = call.principal.user_id, await _fingerprint(call)
    async with transaction(call.services.pool) as connection:
        taking = {"user": user, "key": key, "fingerprint": fingerprint, "hours": LIFETIME_HOURS}
        if await (await connection.execute(_TAKE, taking)).fetchone() is None:
            return await _stored(connection, user, key, fingerprint)
        response = await create(connection)
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        await connection.execute(_KEEP, (response.status_code, json.dumps(headers), bytes(response.body), user, key))
        return response


async def _stored(connection: Connection, user: str, key: str, fingerprint: bytes) -> Response:
    row = await (await connection.execute(_STORED, (user, key))).fetchone()
    if row is None or row["status"] is None:
        raise ProblemError(409, "A request with this Idempotency-Key is under way.", headers={"Retry-After": "1"})
    if bytes(row["fingerprint"]) != fingerprint:
        raise ProblemError(422, "This Idempotency-Key was used for another request; use a new one.")
    headers = json.loads(row["headers"]) | {"Idempotency-Replayed": "true"}
    return Response(bytes(row["body"]), row["status"], headers, "application/json")


async def _fingerprint(call: Call) -> bytes:
    head = f"{call.request.method} {call.path}\n".encode()
    return hashlib.sha256(head + await call.request.body()).digest()
