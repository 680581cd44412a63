"""Limits of wrong passwords, per account and per address, counted in the database for all pods together.

Subjects are stored as hashes: what was typed as an account may be anything, also a password.
"""

import hashlib
import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from starlette.requests import Request

from biospark_api.auth import queries
from biospark_api.database.pool import Pool
from biospark_api.problems import ProblemError
from biospark_api.settings import Network, networks_of

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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


def client_address(request: Request, trusted: str) -> str:
    """Where a request comes from: the last hop that is not one of our proxies, whose networks are `trusted`."""
    peer = request.client.host if request.client else ""
    networks = _networks(trusted)
    if not networks:
        return peer
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    for hop in [peer, *reversed(hops)]:
        address = _parse(hop.strip())
        if address is None:
            break  # what follows was not written by a proxy of ours
        peer = str(address)
        if not any(address in network for network in networks):
            break
    return peer


@lru_cache(maxsize=1)
def _networks(text: str) -> tuple[Network, ...]:
    return networks_of(text)


def _parse(text: str) -> _Address | None:
    """The address of a hop. Some proxies write a port behind it, and IPv4 as IPv6."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _hashed(kind: str, subject: str) -> bytes:
    return hashlib.sha256(f"{kind}:{subject}".encode()).digest()
