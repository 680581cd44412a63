"""Limits of wrong passwords, counted in the database for all pods together, before a password is looked at.

Three counts hold an attempt back: of the account from this address, of the address, and of the account from all
addresses that it never logged in from. So who guesses from elsewhere can't keep an owner out who comes from where they
usually do. Beyond its limit each further failure doubles the time until the next attempt. Counts are stored under
hashes: what was typed as an account may be anything, also a password.
"""

import hashlib
import ipaddress
from dataclasses import asdict, dataclass
from functools import lru_cache

from starlette.requests import Request

from biospark_api.auth import queries
from biospark_api.database.connection import Connection
from biospark_api.database.pool import Pool, transaction
from biospark_api.http.problems import ProblemError
from biospark_api.settings import Network, networks_of

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ONE_CUSTOMER = 64
"""Bits of an IPv6 address that its provider gives; whoever has them has all addresses with them."""


@dataclass(frozen=True)
class Limits:
    """How many failures of a window cost no time."""

    per_account: int
    """Of one account from one address."""
    per_address: int
    elsewhere: int
    """Of one account from all addresses together that it never logged in from."""
    window_seconds: int
    """How long failures count, and the longest time between two attempts."""


@dataclass(frozen=True)
class Attempt:
    """One login, as the two things that are counted."""

    account: bytes
    address: bytes


class CountedAttempt:
    """A login that stands as a failure until it turns out otherwise."""

    def __init__(self, attempt: Attempt, counted: list[tuple[bytes, bytes]]) -> None:
        self._attempt = attempt
        self._counted = counted

    async def succeeded(self, connection: Connection) -> None:
        """Forget the failures of the account from here, where it is known from now on."""
        await queries.take_back_attempt(connection, self._counted)
        await queries.welcome(connection, self._attempt.account, self._attempt.address)

    async def take_back(self, pool: Pool) -> None:
        """It was no attempt: nobody has looked at the password."""
        async with pool.connection() as connection:
            await queries.take_back_attempt(connection, self._counted)


def account_of(email: str) -> bytes:
    """What the attempts on an account are counted under."""
    return _hashed("account", email)


def attempt_of(email: str, address: str) -> Attempt:
    """The subjects of a login."""
    return Attempt(account_of(email), _hashed("address", _customer(address)))


async def count(limits: Limits, attempt: Attempt, pool: Pool) -> CountedAttempt:
    """Count an attempt as a failure; raises the 429 problem, and counts nothing, when it has to wait.

    Of attempts that come together only so many are let through as the limits leave.
    """
    async with pool.connection() as connection:
        # Most of a flood ends here, without a lock.
        if seconds := await queries.seconds_to_wait(connection, attempt.account, attempt.address):
            raise _too_many(seconds)
    async with transaction(pool) as connection:
        counted = await queries.count_attempt(connection, attempt.account, attempt.address, asdict(limits))
        if counted is None:
            raise _too_many(await queries.seconds_to_wait(connection, attempt.account, attempt.address) or 1)
    return CountedAttempt(attempt, counted)


def _too_many(seconds: int) -> ProblemError:
    return ProblemError(429, "Too many wrong passwords; try again later.", headers={"Retry-After": str(seconds)})


def client_address(request: Request, trusted: str) -> str:
    """Where a request comes from: the last hop that is not one of our proxies, whose networks are `trusted`."""
    # Not `request.client`, which makes an object of it for each look.
    client = request.scope.get("client")
    peer: str = client[0] if client else ""
    if not trusted:
        return peer
    networks = _networks(trusted)
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


def _customer(address: str) -> str:
    parsed = _parse(address)
    if not isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed or address)
    return str(ipaddress.ip_network((int(parsed), _ONE_CUSTOMER), strict=False))


def _hashed(kind: str, subject: str) -> bytes:
    return hashlib.sha256(f"{kind}:{subject}".encode()).digest()
