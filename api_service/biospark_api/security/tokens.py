"""Tokens: issued and verified here, whatever a gateway has verified before.

Checking a signature costs 0.1 ms and asking the database whether the session is still open one round trip, so a
token that was found valid is remembered: its expiry is checked each time, the database again after a few
seconds. A logout on this process is known at once, one on another within that time.
"""

import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import jwt

from biospark_api.auth import queries
from biospark_api.database.pool import Pool
from biospark_api.http.problems import ProblemError
from biospark_api.security.keys import KeyRing
from biospark_api.security.permissions import Role

_REMEMBERED = 4096
_SKEW = 30
"""Seconds by which clocks of two pods may differ."""
_LONGEST = 4096
_CLAIMS = ["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "sid", "gen"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from."""

    user_id: str
    email: str
    role: Role
    jti: str
    session_id: str
    generation: int
    expires: int


@dataclass(slots=True)
class _Known:
    principal: Principal
    kid: str
    checked: float


def unauthorized(detail: str, error: str | None = "invalid_token") -> ProblemError:
    """The 401 that RFC 6750 describes."""
    challenge = 'Bearer realm="biospark"' + (f', error="{error}"' if error else "")
    return ProblemError(401, detail, headers={"WWW-Authenticate": challenge})


class Tokens:
    """Issues and verifies."""

    def __init__(self, ring: KeyRing, *, issuer: str, audience: str, lifetime: int, believed: float) -> None:
        self.ring = ring
        self.lifetime = lifetime
        self._issuer = issuer
        self._audience = audience
        self._believed = believed
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def issue(self, user: Any, session_id: str) -> str:
        """A token for a row of `users`."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": user["id"],
            "iat": now,
            "nbf": now - _SKEW,
            "exp": now + self.lifetime,
            "jti": str(uuid.uuid4()),
            "sid": session_id,
            "gen": user["token_generation"],
            "userId": user["id"],
            "email": user["email"],
            "roles": [user["role"]],
        }
        key = self.ring.signing
        return jwt.encode(claims, key.private, algorithm="RS256", headers={"kid": key.kid})

    async def authenticate(self, authorization: str | None, pool: Pool) -> Principal:
        """The principal of an Authorization header; raises the 401 problem."""
        if not authorization:
            raise unauthorized("Log in and send the token as Authorization: Bearer.", None)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST:
            raise unauthorized("The Authorization header should be Bearer and a token.")
        known = self._known.get(token)
        if known is None or not self.ring.accepts(known.kid):
            known = _Known(*self._verify(token), checked=0.0)
        if known.principal.expires <= time.time():
            self._known.pop(token, None)
            raise unauthorized("The token has expired; log in again.")
        if time.monotonic() - known.checked > self._believed or known.checked == 0.0:
            known = await self._check(token, known, pool)
        return known.principal

    def forget_session(self, session_id: str) -> None:
        """Believe no token of a session any longer."""
        self._forget(lambda principal: principal.session_id == session_id)

    def forget_user(self, user_id: str) -> None:
        """Believe no token of a user any longer."""
        self._forget(lambda principal: principal.user_id == user_id)

    def forget_everybody(self) -> None:
        """Believe no token any longer."""
        self._known.clear()

    def _forget(self, matches: Any) -> None:
        for token in [token for token, known in self._known.items() if matches(known.principal)]:
            del self._known[token]

    def _verify(self, token: str) -> tuple[Principal, str]:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self.ring.accepted.get(str(kid))
            if key is None:
                raise unauthorized("The token is not valid.")
            claims = jwt.decode(
                token,
                key.public,
                algorithms=["RS256"],
                issuer=self._issuer,
                audience=self._audience,
                options={"require": _CLAIMS, "verify_iat": False},  # checked below, with the skew
            )
            if claims["iat"] > time.time() + _SKEW:
                raise unauthorized("The token is not valid yet.")
            return _principal(claims), key.kid
        except jwt.ExpiredSignatureError:
            raise unauthorized("The token has expired; log in again.") from None
        except jwt.ImmatureSignatureError:
            raise unauthorized("The token is not valid yet.") from None
        except (jwt.PyJWTError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
            raise unauthorized("The token is not valid.") from None

    async def _check(self, token: str, known: _Known, pool: Pool) -> _Known:
        principal = known.principal
        row = await queries.session_state(pool, principal.user_id, principal.session_id, principal.jti)
        if row is None or not row["valid"] or row["token_generation"] != principal.generation:
            self._known.pop(token, None)
            raise unauthorized("The session has ended; log in again.")
        # Role and address come from the database: a token may be older than their last change.
        current = replace(principal, role=Role(row["role"]), email=row["email"])
        fresh = _Known(current, known.kid, time.monotonic())
        self._known[token] = fresh
        self._known.move_to_end(token)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return fresh


def _principal(claims: dict[str, Any]) -> Principal:
    return Principal(
        user_id=str(uuid.UUID(claims["sub"])),
        email=str(claims["email"]),
        role=Role(claims["roles"][0]),
        jti=str(uuid.UUID(claims["jti"])),
        session_id=str(uuid.UUID(claims["sid"])),
        generation=int(claims["gen"]),
        expires=int(claims["exp"]),
    )
