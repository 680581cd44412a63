"""Keeps the watches beside kopf's going: of the children, and of the Secrets that environments copy.

Each lives on its own: one kind that can't be watched (a right is missing, its API is away) is told in the log
and by a metric, is tried again, and holds up nothing else. None of these ever returns.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from biospark_operator.clients.kubernetes.children import Children
from biospark_operator.clients.kubernetes.watched_secrets import WatchedSecrets
from biospark_operator.engine.backoff import delay
from biospark_operator.engine.errors import OutsideError

logger = logging.getLogger(__name__)

#: Seconds after which a watch that ends was a good one, so that the next one may begin soon.
STEADY = 60.0
#: Seconds between tries at most: what happens meanwhile is found only by the pass that is due anyway.
SLOWEST = 30.0


async def watch_children(children: Children, api_version: str, kind: str) -> NoReturn:
    """Keep up with the children of one kind."""

    async def once() -> None:
        await children.follow(api_version, kind)

    await _again_and_again(once, f"{kind}s")


async def watch_secrets(secrets: WatchedSecrets) -> NoReturn:
    """Keep up with the Secrets that environments refer to."""
    await _again_and_again(secrets.follow, f"Secrets in {secrets.namespace}")


async def _again_and_again(once: Callable[[], Awaitable[None]], what: str) -> NoReturn:
    failures, rng = 0, random.Random()  # noqa: S311 - jitter
    while True:
        began, at_least = time.monotonic(), 0.0
        try:
            await once()
            logger.info("watching %s begins anew", what)
        except OutsideError as error:
            logger.warning("watching %s was interrupted: %s", what, error)
            at_least = error.retry_after or 0.0
        failures = 1 if time.monotonic() - began > STEADY else failures + 1
        await asyncio.sleep(max(min(delay(failures, rng), SLOWEST), at_least))
