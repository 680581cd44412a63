"""Keeps the watches beside kopf's going: of the children, of the Secrets that environments copy, of definitions.

Each lives on its own: one kind that can't be watched (a right is missing, its API is away) is told in the log
and by a metric, is tried again, and holds up nothing else. None of these ever returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from biospark_operator.clients.kubernetes.children import Children
from biospark_operator.clients.kubernetes.definitions import Definitions
from biospark_operator.clients.kubernetes.errors import MissingError
from biospark_operator.clients.kubernetes.watched_secrets import WatchedSecrets
from biospark_operator.engine.backoff import delay
from biospark_operator.engine.errors import OutsideError, UnavailableError
from biospark_operator.objects.kinds import Kind

logger = logging.getLogger(__name__)

#: Seconds after which a watch that ends was a good one, so that the next one may begin soon.
STEADY = 60.0
#: Seconds between tries at most: what happens meanwhile is found only by the pass that is due anyway.
SLOWEST = 30.0
#: Seconds until a kind that was just defined is looked for again, at first.
SOONEST = 0.25


async def watch_children(
    children: Children, kind: Kind, definitions: Definitions, appeared: Callable[[], None]
) -> NoReturn:
    """Keep up with the children of one kind.

    Where it is an optional one and the cluster does not have it, its definition is waited for; `appeared` is called
    when its objects are known after that.
    """
    absence = _Absence(kind, definitions, appeared) if kind.optional else None

    async def once() -> None:
        await children.follow(*kind.key, listed=absence.over if absence else lambda: None)

    await _again_and_again(once, f"{kind.kind}s", absence)


async def watch_secrets(secrets: WatchedSecrets) -> NoReturn:
    """Keep up with the Secrets that environments refer to."""
    await _again_and_again(secrets.follow, f"Secrets in {secrets.namespace}")


async def watch_definitions(definitions: Definitions) -> NoReturn:
    """Keep up with the definitions of optional kinds."""
    await _again_and_again(definitions.follow, "CustomResourceDefinitions")


class _Absence:
    """How long the cluster lacks an optional kind; told once each time."""

    def __init__(self, kind: Kind, definitions: Definitions, appeared: Callable[[], None]) -> None:
        self._kind, self._definitions, self._appeared = kind, definitions, appeared
        self._news = definitions.news(kind.definition)
        #: Whether the cluster lacked it when it was last looked for.
        self.lasts, self._looks = False, 0

    async def ends(self) -> None:
        """Return when it is worth looking for the kind again."""
        if not self.lasts:
            self.lasts = True
            logger.info(
                "%ss are not watched until their definition %s is installed", self._kind.kind, self._kind.definition
            )
        # What is defined is not served at once, and perhaps not in our version.
        defined = self._kind.definition in self._definitions
        pause = min(SOONEST * 2.0 ** min(self._looks, 10), SLOWEST) if defined else None
        self._looks += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._news.wait()
                self._looks = 0
        self._news.clear()
        self._definitions.look_again(self._kind.definition)

    def over(self) -> None:
        """Take note that the cluster has the kind."""
        if self.lasts:
            logger.info("watching %ss: their definition is installed", self._kind.kind)
            self._appeared()
        self.lasts, self._looks = False, 0


async def _again_and_again(once: Callable[[], Awaitable[None]], what: str, absence: _Absence | None = None) -> NoReturn:
    failures, rng = 0, random.Random()  # noqa: S311 - jitter
    while True:
        began, at_least = time.monotonic(), 0.0
        try:
            await once()
            logger.info("watching %s restarts", what)
        except MissingError as error:
            if absence is not None:
                await absence.ends()
                failures = 0
                continue
            logger.warning("watching %s was interrupted: %s", what, error)
        except OutsideError as error:
            # What was just defined is not ready to be watched at once.
            expected = absence is not None and absence.lasts and isinstance(error, UnavailableError)
            logger.log(logging.DEBUG if expected else logging.WARNING, "watching %s was interrupted: %s", what, error)
            at_least = error.retry_after or 0.0
        failures = 1 if time.monotonic() - began > STEADY else failures + 1
        await asyncio.sleep(max(min(delay(failures, rng), SLOWEST), at_least))
