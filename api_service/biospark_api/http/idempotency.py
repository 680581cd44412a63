"""`Idempotency-Key`: a POST that is sent twice, because its answer was lost, is done once.

The key is stored with the answer in the transaction of the change. A second request waits for the first one's
transaction, then gets its answer; after a failure nothing is stored, and it is a first request again.

Requests are told apart by a keyed hash, whose key is not in the database: bodies hold passwords and names, and who
reads the table could try all likely ones against a plain hash.
"""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable

from starlette.responses import Response

from biospark_api.database.connection import Connection
from biospark_api.database.pool import transaction
from biospark_api.http.calls import Call
from biospark_api.http.problems import ProblemError
from biospark_api.security.keys import SigningKey

LIFETIME_HOURS = 24
_KEY_ID = 8
_PLAIN = 32
_KEPT_HEADERS = ("location", "etag")

_TAKE = """
INSERT INTO idempotency_keys (user_id, key, fingerprint, expires_at)
VALUES (%(user)s, %(key)s, %(fingerprint)s, now() + make_interval(hours => %(hours)s))
ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, expires_at = excluded.expires_at,
                                         status = NULL, subject = NULL
WHERE idempotency_keys.expires_at <= now()
RETURNING true AS taken
"""

_STORED = "SELECT fingerprint, status, headers::text, body FROM idempotency_keys WHERE user_id = %s AND key = %s"

_KEEP = """
UPDATE idempotency_keys SET status = %s, headers = %s::jsonb, body = %s, subject = %s WHERE user_id = %s AND key = %s
"""


async def once(call: Call, create: Callable[[Connection], Awaitable[Response]]) -> Response:
    """Do `create`, or answer as it was answered under the same key. `create` must change by this connection only."""
    key = call.header(b"idempotency-key")
    if key is None:
        async with call.services.pool.connection() as connection:
            return await create(connection)
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise ProblemError(422, "Idempotency-Key should be 1 to 255 printable ASCII characters.")
    user, sent = call.principal.user_id, await _sent(call)
    fingerprint = _fingerprint(call.services.tokens.ring.signing, sent)
    async with transaction(call.services.pool) as connection:
        taking = {"user": user, "key": key, "fingerprint": fingerprint, "hours": LIFETIME_HOURS}
        if await (await connection.execute(_TAKE, taking)).fetchone() is None:
            return await _stored(call, connection, key, sent)
        response = await create(connection)
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        kept = (response.status_code, json.dumps(headers), bytes(response.body), call.patient)
        await connection.execute(_KEEP, (*kept, user, key))
        return response


async def _stored(call: Call, connection: Connection, key: str, sent: bytes) -> Response:
    row = await (await connection.execute(_STORED, (call.principal.user_id, key))).fetchone()
    if row is None or row["status"] is None:
        raise ProblemError(409, "A request with this Idempotency-Key is under way.", headers={"Retry-After": "1"})
    _require_same(call.services.tokens.ring.signing_keys, bytes(row["fingerprint"]), sent)
    if row["body"] is None:
        raise ProblemError(row["status"], "What this request created was erased.")
    headers = json.loads(row["headers"]) | {"Idempotency-Replayed": "true"}
    return Response(bytes(row["body"]), row["status"], headers, "application/json")


def _require_same(keys: list[SigningKey], stored: bytes, sent: bytes) -> None:
    """Raise a problem unless the fingerprint is that of this request."""
    # The release before made plain ones; none is left a day after its last pod.
    known = {hashlib.sha256(sent).digest()} if len(stored) == _PLAIN else {_fingerprint(key, sent) for key in keys}
    if any(hmac.compare_digest(stored, fingerprint) for fingerprint in known):
        return
    if any(stored[:_KEY_ID] == fingerprint[:_KEY_ID] for fingerprint in known) or len(stored) == _PLAIN:
        raise ProblemError(422, "This Idempotency-Key was used for another request; use a new one.")
    raise ProblemError(
        409,
        "This Idempotency-Key was used before the key that signs tokens was exchanged, and the request cannot be "
        "compared with the first one any more. Look whether that was carried out; if not, use a new key.",
    )


def _fingerprint(key: SigningKey, sent: bytes) -> bytes:
    """Which key it was made with, and the keyed hash."""
    return key.kid.encode()[:_KEY_ID] + hmac.digest(key.fingerprinting, sent, "sha256")


async def _sent(call: Call) -> bytes:
    return f"{call.request.method} {call.path}\n".encode() + await call.request.body()
