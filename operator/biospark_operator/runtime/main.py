"""The operator's process: put the parts together, become the leader, run, end in good order.

On SIGTERM no new step begins, the running one finishes, the Lease is released. When the Lease is lost or a
watch fails for good the process ends with an error and is started anew: it keeps nothing that a restart loses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine

import uvloop

from biospark_operator import __version__
from biospark_operator.clients.kubernetes import KubernetesClient, connected
from biospark_operator.components import catalog
from biospark_operator.engine.errors import OutsideError
from biospark_operator.engine.reconcile import Reconciler
from biospark_operator.runtime import handlers, logs, metrics, server, sources
from biospark_operator.runtime.admission import admission, identity_of
from biospark_operator.runtime.leader import LeaseElection, SoleReplica
from biospark_operator.runtime.loop import Environments
from biospark_operator.runtime.settings import OperatorSettings, WrongSettingsError, load
from biospark_operator.runtime.store import KubernetesStore

logger = logging.getLogger(__name__)

#: Seconds that running steps may take to finish when the process ends, and then the tasks around them. Together
#: they stay below the grace period of the chart's pods, 30 s.
DRAIN, CLOSE = 15.0, 8.0


def main() -> None:
    """Run the operator until it is told to end. Exits with 2 on wrong settings, 1 when it can't go on."""
    try:
        settings = load()
    except WrongSettingsError as error:
        for line in error.lines:
            print(f"biospark-operator: wrong setting {line}", file=sys.stderr)
        sys.exit(2)
    logs.configure(settings)
    try:
        code = uvloop.run(operate(settings))
    except (OutsideError, OSError) as error:
        logger.error("the operator can't start: %s", error)  # noqa: TRY400 - it is no defect, the message is all
        code = 1
    sys.exit(code)


async def operate(settings: OperatorSettings) -> int:
    """Run the operator with these settings and return the exit code of the process."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    identity = settings.pod_name or f"{socket.gethostname()}-{os.getpid()}"
    async with connected(settings.requests) as client:
        leadership: LeaseElection | SoleReplica = (
            LeaseElection(client, settings.namespace, identity) if settings.leader_election else SoleReplica()
        )
        environments = Environments(_reconciler(settings, client, leadership, identity), settings.passes)
        standing_by, watching = asyncio.Event(), asyncio.Event()
        health = server.Health(environments, lambda: standing_by.is_set() or watching.is_set())
        async with server.serving(health, settings.http_host, settings.http_port):
            if isinstance(leadership, LeaseElection):
                standing_by.set()
                if not await _unless_stopped(leadership.acquire(), stop):
                    return 0
                standing_by.clear()
            return await _lead(settings, client, environments, leadership, stop=stop, watching=watching)


def _reconciler(
    settings: OperatorSettings, client: KubernetesClient, leadership: LeaseElection | SoleReplica, identity: str
) -> Reconciler:
    return Reconciler(
        components=catalog.components(client, settings.platform, operator_namespace=settings.namespace),
        admit=admission(settings.platform.defaults(), settings.namespace),
        identify=identity_of,
        store=KubernetesStore(client, identity),
        leadership=leadership,
        operator_version=__version__,
    )


async def _lead(
    settings: OperatorSettings,
    client: KubernetesClient,
    environments: Environments,
    leadership: LeaseElection | SoleReplica,
    *,
    stop: asyncio.Event,
    watching: asyncio.Event,
) -> int:
    """Work until told to stop (0) or until working is not possible any more (1)."""
    metrics.LEADER.set(1)
    stopping = asyncio.create_task(stop.wait(), name="stop")
    kopf_stop = asyncio.Event()
    tasks = [
        asyncio.create_task(
            sources.watch_pull_secrets(client, settings.namespace, environments.wake_users_of), name="pull secrets"
        ),
        asyncio.create_task(
            handlers.run(environments, client, stop=kopf_stop, ready=watching, started=lambda: _stop_on_signals(stop)),
            name="kopf",
        ),
    ]
    if isinstance(leadership, LeaseElection):
        tasks.append(asyncio.create_task(leadership.hold(), name="lease"))
    await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    code = 0 if stop.is_set() else 1
    for task in tasks:
        if task.done() and not stop.is_set():
            logger.error("%s ended: %s", task.get_name(), task.exception() or "it gave up")
    leadership.resign()
    await environments.drained(DRAIN)
    logs.expect_the_end()
    kopf_stop.set()
    for task in tasks:
        if task.get_name() != "kopf":
            task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait(tasks, timeout=CLOSE)
    if isinstance(leadership, LeaseElection):
        await leadership.release()
    metrics.LEADER.set(0)
    return code


def _stop_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _unless_stopped(work: Coroutine[None, None, None], stop: asyncio.Event) -> bool:
    """Await `work`, and return whether it was done before `stop` was set."""
    doing = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if doing.done():
        await doing
        return True
    doing.cancel()
    return False


if __name__ == "__main__":
    main()
