"""Answers /healthz, /readyz and /metrics.

`/healthz` proves progress: it fails when a pass hangs, when one is long overdue, or when the API server has not been
heard for minutes, which a mere "the process answers" would not show. `/readyz` is about this replica being useful: a
standby is ready, too, once it knows the Lease that it waits for. A rollout whose pods can't reach the API server so
stops at the first of them, and the ones before go on.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from biospark_operator.clients.kubernetes.contact import Contact
from biospark_operator.runtime.loop import Environments

#: Seconds after which a running pass counts as hung, and an overdue one as forgotten.
HUNG, OVERDUE = 600.0, 120.0
#: Seconds without a word from the API server after which a process counts as cut off. It sends a bookmark a minute.
CUT_OFF = 180.0


@dataclass
class Health:
    """What the probes look at."""

    environments: Environments
    contact: Contact
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
        if self.contact.silence > CUT_OFF:
            found.append(f"the API server has not been heard for more than {CUT_OFF:.0f} s")
        return found

    def missing(self) -> str | None:
        """Return what this replica waits for before it is of use, or None where it is."""
        if not self.contact.made:
            return "starting: the API server has not answered yet"
        return None if self.serving() else "starting"


@asynccontextmanager
async def serving(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Serve the endpoints for as long as the context lasts, and yield the port. Raises `OSError`."""

    async def healthz(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(text="\n".join(problems) or "ok", status=500 if problems else 200)

    async def readyz(_: web.Request) -> web.Response:
        missing = health.missing()
        return web.Response(text=missing or "ok", status=503 if missing else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        for listener in listeners(host, port):
            await web.SockSite(runner, listener).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def listeners(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on `host`; `::` is every address of the node, of the families that it has."""
    if host != "::":
        return [socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)]
    first = socket.create_server(("0.0.0.0", port))  # noqa: S104 - asked for
    if not socket.has_ipv6:
        return [first]
    try:
        return [first, socket.create_server((host, first.getsockname()[1]), family=socket.AF_INET6)]
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return [first]
        first.close()
        raise
