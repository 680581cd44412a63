"""What can go wrong with a call of the operator, and for which calls it does. Used with `apiproxy` and `sqlproxy`.

A test adds a `Rule` to a proxy and takes it away again: `with proxy.add(matches, Answer(429, retry_after=2)):`.
Rules act in the order in which they were added, on the calls that come while they are there. Proxies that share a
`Ledger` have one list of calls, and their rules are for the calls to all of them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NoReturn, Self

#: What stands for the method of a call that is an SQL statement.
SQL_READ, SQL_WRITE = "READ", "WRITE"
#: Groups whose objects are questions: creating one changes nothing.
_REVIEWS = ("authentication.k8s.io", "authorization.k8s.io")
_MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE", SQL_WRITE})
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
    """One request of the operator; an SQL statement has its text for a path, and its login in `query`."""

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


class Ledger:
    """The calls of an operator in the order in which they came, and what shall go wrong with them."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._rules: list[Rule] = []
        self._news = asyncio.Event()

    async def wait_for(self, matches: Matches, *, since: int = 0, seconds: float = 20) -> Call:
        """Return the first of `calls[since:]` that matches, once there is one: also one that came before.

        `matches` is asked again when a call is answered, so it may look at `status`.
        """
        try:
            async with asyncio.timeout(seconds):
                while (found := next(filter(matches, self.calls[since:]), None)) is None:
                    await self._news.wait()
                return found
        except TimeoutError:
            last = "\n".join(str(call) for call in self.calls[since:][-40:])
            raise AssertionError(f"no such call within {seconds} s; the last ones were\n{last}") from None

    def mutating(self, since: int = 0) -> Sequence[Call]:
        """Return the calls of `calls[since:]` that may have changed something."""
        return [call for call in self.calls[since:] if call.mutating]

    def add(self, matches: Matches, fault: Fault, *, moment: Moment = Moment.BEFORE, times: int | None = None) -> Rule:
        """Let a fault happen to the calls that match, until the rule is removed."""
        rule = Rule(matches, fault, moment, times)
        self._rules = [*(rule for rule in self._rules if rule.active), rule]
        return rule

    def clear(self) -> None:
        """Remove all rules."""
        for rule in self._rules:
            rule.remove()

    # What proxies do

    def came(self, call: Call) -> None:
        """Take note of a call."""
        self.calls.append(call)
        self.changed()

    def changed(self) -> None:
        """Tell those who wait that something is known of a call."""
        self._news.set()
        self._news = asyncio.Event()

    async def suffer(self, call: Call, moment: Moment, broken: Callable[[], Awaitable[NoReturn]]) -> Answer | None:
        """Let the rules act on a call, and return what to answer in place of the server if they say so.

        `broken` ends the connection of the call, and never returns.
        """
        for rule in self._rules:
            if not rule.acts_on(call, moment):
                continue
            rule.take(call)
            match rule.fault:
                case Close():
                    await broken()
                case Blackhole():
                    await rule.removed()
                    await broken()
                case Delay(seconds):
                    await asyncio.sleep(seconds)
                case Hold():
                    await rule.removed()
                case Answer():
                    return rule.fault
        return None

    def swallowing(self, call: Call) -> Rule | None:
        """Return the rule that lets nothing of the answer to this call through, if there is one."""
        return next((r for r in self._rules if isinstance(r.fault, Blackhole) and r.acts_on(call, Moment.AFTER)), None)
