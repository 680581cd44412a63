"""What can go wrong with a call to the API server, and for which calls it does. Used by tests with `apiproxy`.

A test adds a `Rule` to a proxy and takes it away again: `with proxy.add(matches, Answer(429, retry_after=2)):`.
Rules act in the order in which they were added, on the calls that come while they are there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

#: Groups whose objects are questions: creating one changes nothing.
_REVIEWS = ("authentication.k8s.io", "authorization.k8s.io")
_MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
#: Reasons that the API server gives for a status, if a test names none.
_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(eq=False)
class Call:
    """One request of the operator."""

    caller: str
    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    #: The body of a request that may change something, else nothing.
    body: bytes = field(default=b"", repr=False)
    #: Monotonic seconds at which it arrived.
    at: float = field(default_factory=time.monotonic, repr=False)
    #: What was answered, by the API server or in its place; None before that, and where nothing ever was.
    status: int | None = None
    #: Whether the API server got it.
    forwarded: bool = False

    @property
    def watch(self) -> bool:
        """Whether it opens a stream of events."""
        return self.query.get("watch") in ("1", "true", "True")

    @property
    def mutating(self) -> bool:
        """Whether it changes something at the API server if that accepts it: no read, dry run or review."""
        return (
            self.method in _MUTATING
            and "dryRun" not in self.query
            and not self.path.startswith(tuple(f"/apis/{group}/" for group in _REVIEWS))
        )

    def json(self) -> Any:
        """Return the body of a request that may change something."""
        return json.loads(self.body) if self.body else None

    def __str__(self) -> str:
        came = "no answer" if self.status is None else str(self.status)
        return f"{self.caller}: {self.method} {self.path}{' (watch)' if self.watch else ''}: {came}"


Matches = Callable[[Call], bool]


def every(_: Call) -> bool:
    """Match all calls."""
    return True


@dataclass(frozen=True)
class Close:
    """End the connection without an answer, as an API server does that is restarted."""


@dataclass(frozen=True)
class Blackhole:
    """Say nothing, neither answers nor events of open watches, as a network does that lost its way.

    Calls that were swallowed stay so: when the rule goes, their connections are closed.
    """


@dataclass(frozen=True)
class Answer:
    """Answer in place of the API server, with a `Status` as it gives one. `retry_after` is in seconds."""

    status: int
    message: str = "planted by a test"
    reason: str | None = None
    retry_after: int | None = None

    @property
    def body(self) -> dict[str, Any]:
        return failure(self.status, self.message, self.reason, self.retry_after)


@dataclass(frozen=True)
class Delay:
    """Let the call go on after some seconds."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Let the call go on when the rule is removed, and not before."""


Fault = Close | Blackhole | Answer | Delay | Hold


class Moment(Enum):
    """When a fault comes: before the API server gets the call, or after it answered and before the caller knows."""

    BEFORE = "before"
    AFTER = "after"


def failure(status: int, message: str, reason: str | None = None, retry_after: int | None = None) -> dict[str, Any]:
    """Return the `Status` with which the API server reports a failure."""
    details = {} if retry_after is None else {"details": {"retryAfterSeconds": retry_after}}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason or _REASONS.get(status, "Unknown"),
        "code": status,
        **details,
    }


@dataclass(eq=False)
class Rule:
    """A fault and the calls that it happens to, at most `times` of them. As a context it ends with the block."""

    matches: Matches
    fault: Fault
    moment: Moment = Moment.BEFORE
    times: int | None = None
    #: The calls that it happened to so far.
    hits: list[Call] = field(default_factory=list)
    _hit: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _removed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def active(self) -> bool:
        """Whether it still acts on new calls."""
        return not self._removed.is_set() and (self.times is None or len(self.hits) < self.times)

    def acts_on(self, call: Call, moment: Moment) -> bool:
        """Whether the fault happens to this call now."""
        due = moment is self.moment or isinstance(self.fault, Blackhole)
        return self.active and due and self.matches(call)

    def take(self, call: Call) -> None:
        """Count a call."""
        self.hits.append(call)
        self._hit.set()

    async def hit(self, seconds: float = 20) -> Call:
        """Return the first call that it happened to, once there is one. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            await self._hit.wait()
        return self.hits[0]

    async def removed(self) -> None:
        """Return once it was removed."""
        await self._removed.wait()

    def remove(self) -> None:
        """End it: held calls go on, swallowed ones are closed, new ones are not concerned."""
        self._removed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
