"""Wires kopf to the loops. Nothing happens here but starting, waking and ending.

A daemon per environment keeps it, a delete handler takes it down, and an event handler wakes the loop when the
resource is changed. Children are not kopf's: `sources` watches them, each kind apart from the others. kopf's own
bookkeeping is off: no annotation, no copy of the spec, no progress is written; one finalizer is all it adds to a
resource.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import kopf
from kopf._core.engines import peering

from biospark_operator.api.v1alpha1.environment import (
    FINALIZER,
    GROUP,
    PLURAL,
    RECONCILE_REQUESTED_AT,
    ROTATE_REQUESTED_AT,
    TAKE_OVER_FROM,
    VERSION,
)
from biospark_operator.clients.fencing import MayAct, fence
from biospark_operator.clients.kubernetes.credentials import configuration
from biospark_operator.engine.errors import NotLeaderError
from biospark_operator.runtime import scanning
from biospark_operator.runtime.loop import Environments
from biospark_operator.runtime.used_secrets import secrets_of

#: How long credentials are used before they are read again; the token of a ServiceAccount rotates hourly.
_LOGIN_LIFETIME = timedelta(minutes=10)


def operator_settings() -> kopf.OperatorSettings:
    """Return kopf's settings for this operator."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # our own Lease elects
    settings.posting.enabled = False  # our own Events, on transitions only
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 0.1  # what is running then is a teardown asleep
    # A daemon that is in the middle of a pass when the deletion begins is waited for. Without this kopf would look
    # again later by touching the resource, which is switched off, and a teardown that writes nothing would never end.
    settings.background.instant_exit_timeout = 30
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 250
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = (0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30)
    settings.persistence.finalizer = FINALIZER
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.process.ultimate_exiting_timeout = 60
    return settings


def registry(environments: Environments, may_act: MayAct) -> kopf.OperatorRegistry:
    """Return kopf's registry with the handlers that drive `environments`.

    `may_act` is asked before kopf changes anything, that is, before it sets or takes away the finalizer.
    """
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return await _session(may_act)

    @kopf.daemon(GROUP, VERSION, PLURAL, registry=handlers, cancellation_backoff=20, cancellation_timeout=5)
    async def keep(name: str | None, uid: str | None, stopped: kopf.DaemonStopped, **_: Any) -> None:
        async def stop() -> None:
            await stopped.wait()

        await environments.keep(str(name), str(uid), lambda: bool(stopped), stop())

    @kopf.on.delete(GROUP, VERSION, PLURAL, registry=handlers)
    async def remove(name: str | None, uid: str | None, **_: Any) -> None:
        await environments.remove(str(name), str(uid))

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def environment_changed(
        type: str | None,  # noqa: A002 - kopf's name
        name: str | None,
        uid: str | None,
        body: kopf.Body,
        **_: Any,
    ) -> None:
        if type == "DELETED":
            environments.forget(str(name), str(uid))
        else:
            environments.slot(str(name), str(uid)).saw(_version(body), secrets_of(body.get("spec")))

    return handlers


async def _session(may_act: MayAct) -> kopf.AiohttpSession:
    """Return a session that goes the way of our own requests and asks `may_act` first. kopf closes it."""
    way = await configuration()
    scheme, _, token = (await way.get_api_key_with_prefix("BearerToken") or "").rpartition(" ")
    info = kopf.ConnectionInfo(
        server=way.host,
        ca_path=way.ssl_ca_cert,
        insecure=not way.verify_ssl,
        username=way.username or None,
        password=way.password or None,
        scheme=scheme or None,
        token=token or None,
        certificate_path=way.cert_file,
        private_key_path=way.key_file,
    )

    def may_act_or_fail() -> None:
        # What kopf knows, it takes calmly and tries again; by then the process is gone.
        try:
            may_act()
        except NotLeaderError as error:
            raise aiohttp.ClientConnectionError("not the leader") from error

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=way.proxy,
        trust_env=False,
        trace_configs=[fence(may_act_or_fail)],
    )
    return kopf.AiohttpSession(
        server=info.server,
        aiohttp_session=session,
        expiration=datetime.now(UTC) + _LOGIN_LIFETIME,
    )


def _version(body: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what of a resource asks for a pass when it changes; our own writes of the status don't."""
    annotations = body["metadata"].get("annotations") or {}
    requests = (annotations.get(name) for name in (RECONCILE_REQUESTED_AT, ROTATE_REQUESTED_AT, TAKE_OVER_FROM))
    return body["metadata"].get("generation"), *requests


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no copy of the resource: no handler of ours asks what changed."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return {}

    def store(self, **_: Any) -> None:
        return


class _NoProgress(kopf.ProgressStorage):
    """Keeps no progress: the only handler with progress, `remove`, carries it in the inventory."""

    def fetch(self, **_: Any) -> None:
        return

    def store(self, **_: Any) -> None:
        return

    def purge(self, **_: Any) -> None:
        return

    def touch(self, **_: Any) -> None:
        return

    def clear(self, *, essence: Any) -> Any:
        return essence


async def run(
    environments: Environments,
    may_act: MayAct,
    *,
    stop: asyncio.Event,
    ready: asyncio.Event,
    started: Callable[[], None],
) -> None:
    """Run kopf until `stop` is set or a watch fails for good, which is raised.

    `started` is called when kopf has installed its handlers of signals, so that it can put back its own.
    """
    scanning.correct()
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry(environments, may_act),
        settings=operator_settings(),
        # Given, because kopf else asks for the name of the user, whom a container does not know.
        identity=peering.Identity("biospark-operator"),
        clusterwide=True,
        standalone=True,
        stop_flag=stop,
        ready_flag=ready,
    )
    started()
    await kopf.run_tasks(tasks, ignored=others)
