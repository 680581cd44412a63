"""Limits of wrong passwords, per account and per address, counted in the database for all pods together.

Subjects are stored as hashes: what was typed as an account may be anything, also a password.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

from starlette.requests import Request

from biospark_api.auth import queries
from biospark_api.database.pool import Pool
from biospark_api.problems import ProblemError
from biospark_api.settings import Network


@dataclass(frozen=True)
class Limits:
    """How many failures a window may hold."""

    per_account: int
    per_address: int
    window_seconds: int


@dataclass(frozen=True)
class Attempt:
    """One login, as the two things that are counted."""

    account: bytes
    address: bytes


def attempt_of(email: str, address: str) -> Attempt:
    """The subjects of a login."""
    return Attempt(_hashed("account", email), _hashed("address", address))


async def refuse_beyond(limits: Limits, attempt: Attempt, pool: Pool) -> None:
    """Raise the 429 problem when one of the two has failed too often."""
    for row in await queries.failures(pool, [attempt.account, attempt.address]):
        limit = limits.per_account if bytes(row["subject"]) == attempt.account else limits.per_address
        if row["failures"] >= limit:
            raise ProblemError(
                429, "Too many wrong passwords; try again later.", headers={"Retry-After": str(row["seconds"])}
            )


async def count_failure(limits: Limits, attempt: Attempt, pool: Pool) -> None:
    """Remember a wrong password."""
    await queries.add_failures(pool, [attempt.account, attempt.address], limits.window_seconds)


def client_address(request: Request, trusted: tuple[Network, ...]) -> str:
    """Where a request comes from: the last hop that is not one of our proxies."""
    peer = request.client.host if request.client else ""
    hops = [hop.strip() for hop in ",".join(request.headers.getlist("x-forwarded-for")).split(",") if hop.strip()]
    for hop in [peer, *reversed(hops)]:
        address = _parse(hop)
        if address is None:
            break
        peer = hop
        if not any(address in network for network in trusted):
            break
    return peer


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _hashed(kind: str, subject: str) -> bytes:
    return hashlib.sha256(f"{kind}:{subject}".encode()).digest()
