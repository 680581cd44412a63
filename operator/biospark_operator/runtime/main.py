"""The operator's process: put the parts together, become the leader, run, end in good order.

On SIGTERM no new step begins, the running one finishes, the Lease is released. When a watch fails for good the
process ends with an error and is started anew: it keeps nothing that a restart loses. When the Lease is lost it
ends at once, whatever is under way: soon another replica leads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import uvloop

from biospark_operator import __version__
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.fencing import withdraw
from biospark_operator.clients.kubernetes.children import Children
from biospark_operator.clients.kubernetes.client import KubernetesClient, connected
from biospark_operator.clients.kubernetes.contact import Contact
from biospark_operator.clients.kubernetes.definitions import Definitions
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.clients.kubernetes.watched_secrets import WatchedSecrets
from biospark_operator.clients.postgres.servers import Servers
from biospark_operator.components import catalog
from biospark_operator.engine.errors import OutsideError
from biospark_operator.engine.reconcile import Reconciler
from biospark_operator.objects import ownership
from biospark_operator.objects.kinds import Kind, kinds_of
from biospark_operator.runtime import handlers, logs, metrics, news, server, sources
from biospark_operator.runtime.admission import admission, identity_of
from biospark_operator.runtime.leader import LeaseElection, SoleReplica
from biospark_operator.runtime.loop import Environments
from biospark_operator.runtime.orphaning import OrphaningTrace
from biospark_operator.runtime.settings import OperatorSettings, WrongSettingsError, load
from biospark_operator.runtime.store import KubernetesStore
from biospark_operator.runtime.used_secrets import secrets_of

logger = logging.getLogger(__name__)

#: Seconds that running steps may take to finish when the process ends, and then the tasks around them. Together
#: they stay below the grace period of the chart's pods, 30 s.
DRAIN, CLOSE = 15.0, 8.0
#: Seconds that the work waits for the first lists of children, which spare it to ask for each of them.
FIRST_LISTS = 10.0
#: Requests about the Lease under way at once. They don't wait for those of passes, which may be many and slow.
LEASE_REQUESTS = 2


def main() -> None:
    """Run the operator until it is told to end. Exits with 2 on wrong settings, 1 when it can't go on."""
    try:
        settings = load()
    except WrongSettingsError as error:
        for line in error.lines:
            print(f"biospark-operator: wrong setting {line}", file=sys.stderr)
        sys.exit(2)
    logs.configure(settings)
    _calm_the_garbage_collector()
    try:
        code = uvloop.run(operate(settings))
    except (OutsideError, OSError) as error:
        logger.error("the operator can't start: %s", error)  # noqa: TRY400 - it is no defect, the message is all
        code = 1
    sys.exit(code)


def _calm_the_garbage_collector() -> None:
    """Take what was imported for permanent, and look for cycles less often.

    Nearly all that a pass makes is freed without it; as it comes it took an eighth of the processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


@dataclass(frozen=True)
class _Parts:
    """What the operator is put together from."""

    leadership: LeaseElection | SoleReplica
    secrets: WatchedSecrets
    children: Children
    #: Those that are watched.
    kinds: Sequence[Kind]
    definitions: Definitions
    environments: Environments


async def operate(settings: OperatorSettings) -> int:
    """Run the operator with these settings and return the exit code of the process."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        contact = Contact()
        leadership = await _leadership(settings, stack, contact)
        client = await stack.enter_async_context(
            connected(settings.requests, may_act=leadership.check_lease, contact=contact)
        )
        servers = Servers(may_act=leadership.check_lease)
        stack.push_async_callback(servers.close)
        parts = _assembled(settings, client, servers, leadership)
        watching = asyncio.Event()
        health = server.Health(parts.environments, contact, lambda: leadership.stands_by or watching.is_set())
        async with server.serving(health, settings.http_host, settings.http_port):
            if isinstance(parts.leadership, LeaseElection) and not await _unless_stopped(
                parts.leadership.acquire(), stop
            ):
                return 0
            return await _lead(parts, stop=stop, watching=watching)


async def _leadership(
    settings: OperatorSettings, stack: AsyncExitStack, contact: Contact
) -> LeaseElection | SoleReplica:
    if not settings.leader_election:
        return SoleReplica()
    leases = await stack.enter_async_context(connected(LEASE_REQUESTS, contact=contact))
    return LeaseElection(leases, settings.namespace, _identity(settings))


def _identity(settings: OperatorSettings) -> str:
    return settings.pod_name or f"{socket.gethostname()}-{os.getpid()}"


def _assembled(
    settings: OperatorSettings, client: KubernetesClient, servers: Servers, leadership: LeaseElection | SoleReplica
) -> _Parts:

    def changed(before: Manifest | None, after: Manifest | None) -> None:
        ref = ObjectRef.of(after or before or {})
        matters = (ref.api_version, ref.kind) in status_matters
        for environment in news.concerned(before, after, status_matters=matters):
            environments.wake(environment)

    def secret_changed(name: str) -> None:
        environments.wake_users_of(name)

    secrets = WatchedSecrets(client, settings.namespace, secret_changed)
    children = Children(client, (), ownership.CHILDREN, changed, otherwise=secrets.get)
    components = catalog.components(children, settings.platform, operator_namespace=settings.namespace, servers=servers)
    kinds = [kind for kind in kinds_of(components) if kind.watched]
    children.keep(kind.key for kind in kinds)
    status_matters = {kind.key for kind in kinds if kind.status_matters}
    reconciler = Reconciler(
        components=components,
        admit=admission(settings.platform, settings.namespace),
        identify=identity_of,
        store=KubernetesStore(client, _identity(settings)),
        orphaning=OrphaningTrace(children, client, settings.namespace),
        leadership=leadership,
        operator_version=__version__,
    )
    environments = Environments(reconciler, settings.passes, secrets_of(settings.platform.model_dump(by_alias=True)))
    return _Parts(leadership, secrets, children, kinds, Definitions(client), environments)


async def _lead(parts: _Parts, *, stop: asyncio.Event, watching: asyncio.Event) -> int:
    """Work until told to stop (0) or until working is not possible any more (1)."""
    leadership, environments, children = parts.leadership, parts.environments, parts.children
    metrics.LEADER.set(1)
    for kind in parts.kinds:
        metrics.WATCHING.labels(kind.kind).set_function(partial(_nothing_is_missed, children, kind))
    stopping = asyncio.create_task(stop.wait(), name="stop")
    kopf_stop = asyncio.Event()

    def appeared() -> None:
        environments.wake_where(Reason.DEFINITION_MISSING)

    async def keep_environments() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LISTS):
                await children.synced()
        await handlers.run(
            environments,
            leadership.check_lease,
            stop=kopf_stop,
            ready=watching,
            started=lambda: _stop_on_signals(stop),
        )

    tasks = [
        *(
            asyncio.create_task(
                sources.watch_children(children, kind, parts.definitions, appeared), name=f"watch {kind.plural}"
            )
            for kind in parts.kinds
        ),
        asyncio.create_task(sources.watch_secrets(parts.secrets), name="watch referenced secrets"),
        asyncio.create_task(keep_environments(), name="kopf"),
    ]
    if any(kind.optional for kind in parts.kinds):
        tasks.append(asyncio.create_task(sources.watch_definitions(parts.definitions), name="watch definitions"))
    if isinstance(leadership, LeaseElection):
        tasks.append(asyncio.create_task(_hold_or_die(leadership), name="lease"))
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


def _nothing_is_missed(children: Children, kind: Kind) -> bool:
    return children.watched(*kind.key) or (kind.optional and children.absent(*kind.key))


async def _hold_or_die(leadership: LeaseElection) -> NoReturn:
    """Hold the Lease, and end the process when it is lost.

    Not in good order: that could take longer than the 5 s until another replica may lead, and requests that are
    under way must not. Their connections are reset, which makes the API server give them up.
    """
    await leadership.hold()
    withdraw()
    logging.shutdown()
    os._exit(1)


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
