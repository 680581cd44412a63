"""Watches the Secrets in the operator's own namespace that environments copy.

They carry no label of ours, so kopf's watch of the children does not see them. Only metadata is asked for: the
data of Secrets that no environment refers to never reaches the operator's memory.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from biospark_operator.clients.kubernetes import KubernetesClient
from biospark_operator.engine.backoff import delay
from biospark_operator.engine.errors import OutsideError

logger = logging.getLogger(__name__)

#: Seconds after which a watch that ends was a good one, so that the next one may begin soon.
STEADY = 60.0


async def watch_pull_secrets(client: KubernetesClient, namespace: str, changed: Callable[[str], None]) -> None:
    """Call `changed` with the name of each Secret of `namespace` that appears, changes or goes. Never returns.

    After an interruption every Secret counts as changed, since something may have been missed.
    """
    failures, rng = 0, random.Random()  # noqa: S311 - jitter
    while True:
        began = time.monotonic()
        try:
            async for name in client.watch_names("v1", "Secret", namespace):
                changed(name)
        except OutsideError as error:
            logger.warning("watching Secrets in %s was interrupted: %s", namespace, error)
        failures = 1 if time.monotonic() - began > STEADY else failures + 1
        await asyncio.sleep(delay(failures, rng))
