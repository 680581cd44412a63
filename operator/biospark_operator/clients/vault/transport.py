"""Sends requests to one Vault server from threads, through hvac. Used by `server`.

hvac knows paths and parameters of the protocol. It decides nothing here: its exceptions are fewer than what servers
say, so each answer comes back as it is. Its own client is not used, as that takes tokens and certificates from the
environment and from files of the home directory.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import hvac.adapters
import hvac.api
import requests
import requests.adapters
import urllib3

from biospark_operator.clients.fencing import MayAct
from biospark_operator.clients.kubernetes.proxies import proxy_of
from biospark_operator.clients.memory_file import in_memory
from biospark_operator.clients.vault.errors import READS, Answer

#: Seconds that connecting, and waiting for an answer, may take.
CONNECT, ANSWER = 5.0, 10.0
#: Seconds after a write for which requests ask for what is at least as new. Standbys lag by a tenth of one.
FRESH = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and whom to trust there: certificates as PEM, None for what the system trusts."""

    url: str
    namespace: str = ""
    authority: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.url}, namespace {self.namespace}" if self.namespace else self.url


class Freshness:
    """What the last write left for all that follows to ask for, so that a standby does not answer from the past.

    An index means something to servers only. It may be sent to a restored server, or to another one: those ignore it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._index, self._order, self._until = "", 0, 0.0

    def wrote(self, index: str | None) -> None:
        """Take the index of the answer to a write. Answers of several threads come in any order."""
        if index:
            order = _order(index)
            with self._lock:
                if order == 0 or order >= self._order or self._clock() > self._until:
                    self._index, self._order = index, order
                self._until = self._clock() + FRESH

    def headers(self) -> Mapping[str, str]:
        """Return what a request has to say."""
        with self._lock:
            if not self._index or self._clock() > self._until:
                return {}
            return {"X-Vault-Index": self._index, "X-Vault-Inconsistent": "forward-active-node"}


def _order(index: str) -> int:
    """Return the number in an index of OpenBao, 0 where there is none: the latest one counts then."""
    try:
        return int(json.loads(base64.b64decode(index))["value"])
    except (ValueError, KeyError, TypeError):
        return 0


class Adapter(hvac.adapters.RawAdapter):  # type: ignore[misc]
    """What hvac's methods send their requests with. They return the `Answer`, whatever it is."""

    def __init__(self, address: Address, session: requests.Session, freshness: Freshness, token: str = "") -> None:
        super().__init__(
            base_uri=address.url,
            token=token,
            namespace=address.namespace or None,
            session=session,
            timeout=(CONNECT, ANSWER),
            # A redirect would take the token to an address that nobody configured.
            allow_redirects=False,
            ignore_exceptions=True,
            strict_http=True,
        )
        self._freshness = freshness

    def request(self, method: str, url: str, headers: Any = None, raise_exception: bool = False, **options: Any) -> Any:
        """Send a request and return the answer. Raises one of `errors.FAULTS` where there is none."""
        verb = method.upper()
        # Writes ask for it as well: a standby compares versions by what it has before it passes a write on.
        asked = {**(headers or {}), **self._freshness.headers()}
        response = super().request(method, url, headers=asked, raise_exception=False, **options)
        answer = _answer(response, verb, url)
        if verb not in READS and answer.good:
            self._freshness.wrote(response.headers.get("X-Vault-Index"))
        return answer


class Api:
    """The methods of hvac with one token."""

    def __init__(self, adapter: Adapter) -> None:
        self.auth: Any = hvac.api.AuthMethods(adapter=adapter)
        self.secrets: Any = hvac.api.SecretsEngines(adapter=adapter)
        self.sys: Any = hvac.api.SystemBackend(adapter=adapter)
        #: For what hvac has no method for, or one that loses something on the way.
        self.plain = adapter


class Transport:
    """The connections to one server."""

    def __init__(self, address: Address, connections: int, may_act: MayAct) -> None:
        self.address = address
        self._freshness = Freshness()
        self._authority = in_memory(address.authority)
        self._session = self._made(connections, may_act)
        # Logins and health change nothing outside, and are for reads as well.
        self._harmless = self._made(connections, lambda: None)

    def api(self, token: str) -> Api:
        """Return what acts with a token."""
        return Api(Adapter(self.address, self._session, self._freshness, token))

    def harmless(self, token: str = "") -> Api:
        """Return what logs in, renews and revokes; it is fenced by nothing."""
        return Api(Adapter(self.address, self._harmless, self._freshness, token))

    def health(self) -> Answer:
        """Ask the server for its health: that is the same in all namespaces, and refused in one."""
        everywhere = Address(self.address.url)
        adapter = Adapter(everywhere, self._harmless, Freshness())
        asked: Answer = adapter.get("/v1/sys/health", params={"standbyok": "true", "perfstandbyok": "true"})
        return asked

    def drop(self) -> None:
        """Close what is not in use."""
        self._session.close()
        self._harmless.close()
        if self._authority is not None:
            os.close(self._authority)
            self._authority = None

    def _made(self, connections: int, may_act: MayAct) -> requests.Session:
        session = requests.Session()
        # Nothing of the environment: neither logins of a .netrc, nor certificates of the system in place of ours.
        session.trust_env = False
        session.verify = True if self._authority is None else f"/proc/self/fd/{self._authority}"
        if proxy := proxy_of(self.address.url, os.environ):
            session.proxies = {"http": proxy, "https": proxy}
        session.mount("http://", _Fenced(connections, may_act))
        session.mount("https://", _Fenced(connections, may_act))
        return session


class _Fenced(requests.adapters.HTTPAdapter):
    """Asks `may_act` before a write leaves, with the connection at hand: see `clients.fencing`."""

    def __init__(self, connections: int, may_act: MayAct) -> None:
        self._pools = _pools(may_act)
        # A kept connection may have been closed meanwhile. Only reads are sent again, and no status is an exception.
        retries = urllib3.Retry(
            total=2, connect=0, read=1, redirect=0, status=1, other=0, allowed_methods=READS - {"HEAD"},
            status_forcelist=(502, 504), raise_on_status=False, raise_on_redirect=False, backoff_factor=0.1,
            respect_retry_after_header=False,
        )  # fmt: skip
        super().__init__(pool_connections=1, pool_maxsize=connections, max_retries=retries)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(may_act: MayAct) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    class Plain(urllib3.connection.HTTPConnection):
        def request(self, method: str, *args: Any, **options: Any) -> None:
            if method not in READS:
                if self.sock is None:
                    self.connect()  # else it connects after we have asked, which may take long
                may_act()
            super().request(method, *args, **options)

    class Secure(urllib3.connection.HTTPSConnection):
        def request(self, method: str, *args: Any, **options: Any) -> None:
            if method not in READS:
                may_act()
            super().request(method, *args, **options)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _answer(response: requests.Response, method: str, url: str) -> Answer:
    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = None
    try:
        after = float(response.headers.get("Retry-After", ""))
    except ValueError:
        after = None
    return Answer(
        response.status_code,
        method,
        url.strip("/").removeprefix("v1/"),
        body if isinstance(body, Mapping) else {},
        not isinstance(body, Mapping) and not response.is_redirect,
        response.headers.get("Location"),
        after,
    )
