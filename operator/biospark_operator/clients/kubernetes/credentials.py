"""Finds the way to the API server and the credentials for it. Used by `client`, and by `runtime` for kopf.

Both go the same way. The address that a cluster gives its pods is never asked for through a proxy, whatever the
variables say: they are about the world outside, and a proxy that is wrong there must not cut the operator off.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config
from kubernetes.aio.config.kube_config import KubeConfigLoader

from biospark_operator.clients.kubernetes.proxies import proxy_of
from biospark_operator.engine.errors import AccessError


async def configuration(kubeconfig: str | None = None) -> kube.Configuration:
    """Read how to reach the API server: the ServiceAccount inside a cluster, else the kubeconfig.

    The token of a ServiceAccount is read again as it rotates, and the exec plugin of a kubeconfig is run again
    when its token has run out. `kubeconfig` is the path of one; by default `$KUBECONFIG` says, then
    `~/.kube/config`. Outside a cluster a proxy is the one that the kubeconfig names, else the one in HTTPS_PROXY
    unless NO_PROXY excepts the server. Raises `AccessError` where there is neither.
    """
    # Sessions are told of the proxy, and don't look for one themselves: that would be done anew for each request.
    settings = kube.Configuration(client_session_kwargs={"trust_env": False})
    try:
        if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            kube_config.load_incluster_config(client_configuration=settings)
        else:
            path = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
            loader = await kube_config.load_kube_config(config_file=path, client_configuration=settings)
            settings.refresh_api_key_hook = _refreshing(loader)
            settings.proxy = settings.proxy or proxy_of(settings.host, os.environ)
    except kube_config.ConfigException as error:
        raise AccessError(f"no way to reach a cluster: {error}; set KUBECONFIG, or run in a pod") from None
    return settings


def _refreshing(loader: KubeConfigLoader) -> Any:
    """Return what the client calls before each request, to renew a token that an exec plugin gave."""
    lock = asyncio.Lock()

    async def refresh(settings: kube.Configuration) -> None:
        if hasattr(loader, "exec_plugin_expiry"):
            async with lock:
                await loader.load_from_exec_plugin()
            settings.api_key["BearerToken"] = loader.token

    return refresh
