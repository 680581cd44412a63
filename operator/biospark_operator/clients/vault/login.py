"""Logins with the token of a ServiceAccount, and how long what they gave is good. Pure; used by `server`."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Part of its life after which a token is renewed, and how far from there so that not all come at once.
RENEW, JITTER = 2 / 3, 0.05
#: Seconds for which a token that never ends is taken before its policies are looked at again, by a new login.
UNLIMITED = 3600.0


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in: a role of the Kubernetes auth method at a mount, with the token in a file that is kept fresh."""

    mount: str
    role: str
    token_file: Path

    def __str__(self) -> str:
        return f"role {self.role} at {self.mount}"


@dataclass
class Lease:
    """A token of the server and how long it is good, in seconds of a clock that never goes back."""

    token: str = field(repr=False)
    made: float
    #: Seconds that the server gave at first, and the moments until which it is good and at which it is renewed.
    first: float
    until: float
    due: float
    renewable: bool
    #: Requests under way with it, and whether another one took its place.
    users: int = 0
    retired: bool = False

    @classmethod
    def of(cls, auth: Mapping[str, Any], now: float) -> Lease:
        """Return what an answer to a login gives. Tokens of type batch are neither renewed nor revoked."""
        seconds = float(auth.get("lease_duration") or 0) or UNLIMITED
        service = auth.get("token_type", "service") == "service"
        lease = cls(str(auth["client_token"]), now, seconds, 0, 0, service and bool(auth.get("renewable")))
        lease.extend(seconds, now)
        return lease

    @property
    def revocable(self) -> bool:
        """Whether it can be given back."""
        return self.renewable

    def good(self, now: float) -> bool:
        """Whether the server still takes it, as far as is known."""
        return now < self.until

    def extend(self, seconds: float, now: float) -> None:
        """Take the time that an answer gives from now on."""
        self.until = now + seconds
        self.due = now + seconds * random.uniform(RENEW - JITTER, RENEW + JITTER)  # noqa: S311 - spreads load

    def renewed(self, auth: Mapping[str, Any], now: float) -> bool:
        """Take the answer to a renewal; False where it gives less than at first, as before the end of its life."""
        seconds = float(auth.get("lease_duration") or 0)
        if seconds < self.first:
            return False
        self.extend(seconds, now)
        return True


def expiry(token: str) -> float | None:
    """Return when the token of a ServiceAccount ends, in seconds since 1970, or None where it does not say."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None
