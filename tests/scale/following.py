"""Follows the objects of one kind by a watch, and tells when something became true of them.

Times are those at which the event arrived here, on the monotonic clock, in seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.scale.api import Api, Body

#: Namespace and name of an object; of one without namespace the name alone.
Key = str
#: What is to become true of an object; None is one that is not there.
Holds = Callable[[Body | None], bool]


@dataclass
class _Expectation:
    holds: Holds
    missing: set[Key]
    times: dict[Key, float] = field(default_factory=dict)
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def look(self, key: Key, body: Body | None) -> None:
        if key in self.missing and self.holds(body):
            self.missing.remove(key)
            self.times[key] = time.monotonic()
            if not self.missing and not self.done.done():
                self.done.set_result(None)

    def fail(self, error: BaseException | None) -> None:
        if error and not self.done.done():
            self.done.set_exception(error)


class LateError(AssertionError):
    """Something did not come true in time; the message says of which objects, and what they are instead."""


class Follower:
    """What a watch has shown of a collection."""

    def __init__(self) -> None:
        self.objects: dict[Key, Body] = {}
        self._expectations: list[_Expectation] = []
        self._failure: BaseException | None = None

    async def until(self, keys: Iterable[Key], holds: Holds, seconds: float) -> dict[Key, float]:
        """Wait until `holds` was true once of each of `keys`, and return when that was. Raises `LateError`."""
        expectation = _Expectation(holds, set(keys))
        for key in list(expectation.missing):
            expectation.look(key, self.objects.get(key))
        if self._failure:
            raise self._failure
        self._expectations.append(expectation)
        try:
            async with asyncio.timeout(seconds):
                if expectation.missing:
                    await expectation.done
        except TimeoutError:
            raise LateError(self._told(expectation, seconds)) from None
        finally:
            self._expectations.remove(expectation)
        return expectation.times

    async def follow(self, api: Api, path: str, selector: str) -> None:
        """Take note of what happens, without end."""
        async for event in api.watch(path, **({"labelSelector": selector} if selector else {})):
            self._see(event["object"], gone=event["type"] == "DELETED")

    def ended(self, watching: asyncio.Task[None]) -> None:
        """Let everybody who waits know that nothing more will come."""
        if not watching.cancelled():
            self._failure = watching.exception()
            for expectation in self._expectations:
                expectation.fail(self._failure)

    def _see(self, body: Body, *, gone: bool) -> None:
        key = key_of(body)
        if gone:
            self.objects.pop(key, None)
        else:
            self.objects[key] = body
        for expectation in self._expectations:
            expectation.look(key, None if gone else body)

    def _told(self, expectation: _Expectation, seconds: float) -> str:
        late = sorted(expectation.missing)
        lines = [f"{len(late)} of {len(late) + len(expectation.times)} not within {seconds:.0f} s:"]
        lines += [f"  {key}: {_summary(self.objects.get(key))}" for key in late[:5]]
        return "\n".join(lines)


@asynccontextmanager
async def following(api: Api, path: str, selector: str = "") -> AsyncIterator[Follower]:
    """Follow the collection at `path` while the context lasts; when the watch fails, so does who waits for it."""
    follower = Follower()
    watching = asyncio.create_task(follower.follow(api, path, selector))
    watching.add_done_callback(follower.ended)
    try:
        yield follower
    finally:
        watching.cancel()


def key_of(body: Body) -> Key:
    """Return the key of an object."""
    metadata = body["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def _summary(body: Body | None) -> str:
    if body is None:
        return "is not there"
    conditions = (body.get("status") or {}).get("conditions") or ()
    return "; ".join(f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in conditions) or "says nothing"
