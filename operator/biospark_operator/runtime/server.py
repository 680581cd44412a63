"""Answers /healthz, /readyz and /metrics.

`/healthz` proves progress: it fails when a pass hangs or one is long overdue, which a mere "the process
answers" would not show. `/readyz` is about this replica being useful: a standby is ready, too.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from biospark_operator.runtime.loop import Environments

#: Seconds after which a running pass counts as hung, and an overdue one as forgotten.
HUNG, OVERDUE = 600.0, 120.0


@dataclass
class Health:
    """What the probes look at."""

    environments: Environments
    #: Whether this replica stands by or its watches have begun.
    serving: Callable[[], bool]
    monotonic: Callable[[], float] = time.monotonic

    def problems(self) -> list[str]:
        """Return what shows that this process does not make progress; empty if it does."""
        now, found = self.monotonic(), []
        for name, slot in self.environments.all():
            if slot.began is not None and now - slot.began > HUNG:
                found.append(f"the pass over {name} has been running for more than {HUNG:.0f} s")
            if slot.due is not None and now - slot.due > OVERDUE:
                found.append(f"the pass over {name} is overdue by more than {OVERDUE:.0f} s")
        return found


@asynccontextmanager
async def serving(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Serve the endpoints for as long as the context lasts, and yield the port."""

    async def healthz(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(text="\n".join(problems) or "ok", status=500 if problems else 200)

    async def readyz(_: web.Request) -> web.Response:
        ready = health.serving()
        return web.Response(text="ok" if ready else "starting", status=200 if ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
