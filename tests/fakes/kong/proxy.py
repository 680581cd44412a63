"""The proxy: finds the route of a request, runs the plugins and asks the upstream.

Bodies are taken as a whole. Upgraded connections, gRPC and streams are not supported.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpcore
from multidict import CIMultiDict

from tests.fakes.kong import routing
from tests.fakes.kong.configuration import Configuration, Configurations
from tests.fakes.kong.exchange import Entity, Exchange, Halt
from tests.fakes.kong.identity import Version
from tests.fakes.kong.plugins.catalog import Plugin

#: Headers that are about one connection.
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Transfer-Encoding", "Upgrade", "Expect")
_REASONS = {
    301: "Moved Permanently",
    302: "Found",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
}


@dataclass(frozen=True)
class Incoming:
    """A request as it came in."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    address: str
    port: int
    secure: bool = False
    server_name: str | None = None


@dataclass
class Outgoing:
    """An answer."""

    status: int
    headers: CIMultiDict[str]
    body: bytes = b""


@dataclass
class Proxy:
    """Answers requests by the configuration that it knows."""

    version: Version
    configurations: Configurations
    upstream: httpcore.AsyncConnectionPool
    #: Requests that were counted by rate limits.
    counters: dict[Any, int] = field(default_factory=dict)

    async def answer(self, request: Incoming) -> Outgoing:
        """Answer a request."""
        config = self.configurations.current()
        path, _, query = request.target.partition("?")
        exchange = Exchange(
            self.version,
            request.method,
            path,
            query,
            request.headers.copy(),
            request.body,
            request.address,
            self.configurations.clock(),
            config,
            self.counters,
        )
        try:
            match = self._matched(config, request, exchange)
            for plugin, entity in self._plugins(config, exchange):
                plugin.access(entity, exchange)
            answer = await self._forward(request, exchange, match)
        except Halt as halt:
            answer = self._own(halt, request)
        for plugin, entity in self._plugins(config, exchange):
            if plugin.headers is not None:
                plugin.headers(entity, exchange)
        for name, value in exchange.answer_headers.items():
            if name == "Vary" and name in answer.headers:
                answer.headers.add(name, value)
            else:
                answer.headers[name] = value
        return answer

    def _matched(self, config: Configuration, request: Incoming, exchange: Exchange) -> routing.Match:
        if len(request.headers.getall("Authorization", [])) > 1:
            bad = Halt(400, "Bad request")
            bad.unasked = "text/plain"
            raise bad
        headers: dict[str, list[str]] = {}
        for name, value in request.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        host = request.headers.get("Host", "")
        asked = routing.Asked(request.method, host, exchange.path, headers, request.secure, request.server_name)
        match = routing.find(config.routes(), asked)
        if match is None:
            raise Halt(404, "no Route matched with those values")
        exchange.route, exchange.service = match.route, config.service(match.route)
        if not request.secure and "http" not in match.route["protocols"]:
            code = match.route["https_redirect_status_code"]
            if code == 426:
                raise Halt(426, "Please use HTTPS protocol", Upgrade="TLS/1.2, HTTP/1.1", Connection="Upgrade")
            raise Halt(code, None, Location=f"https://{host.partition(':')[0]}{request.target}")
        return match

    @staticmethod
    def _plugins(config: Configuration, exchange: Exchange) -> Iterator[tuple[Plugin, Entity]]:
        return config.plugins(exchange.service, exchange.route, lambda: exchange.consumer)

    # The upstream

    async def _forward(self, request: Incoming, exchange: Exchange, match: routing.Match) -> Outgoing:
        service = exchange.service
        if service is None:
            raise Halt(503, "no Service found with those values")
        path = match.upstream_path(service["path"])
        query = f"?{exchange.query}" if "?" in request.target else ""
        url = httpcore.URL(
            scheme=service["protocol"].encode(),
            host=service["host"].encode(),
            port=service["port"],
            target=(path + query).encode(),
        )
        headers = self._passed_on(request, exchange, match, service)
        extensions = {
            "timeout": {
                name: (service[f"{ours}_timeout"] or 60000) / 1000
                for name, ours in (("connect", "connect"), ("read", "read"), ("write", "write"))
            }
        }
        try:
            got = await self.upstream.request(
                request.method,
                url,
                headers=[(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()],
                content=request.body or None,
                extensions=extensions,
            )
        except httpcore.TimeoutException:
            return self._failed(request, 504, "The upstream server is timing out")
        except httpcore.ConnectError as error:
            if _unresolved(error):
                raise Halt(503, "name resolution failed") from None
            return self._failed(request, 502, "An invalid response was received from the upstream server")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol):
            return self._failed(request, 502, "An invalid response was received from the upstream server")
        answer: CIMultiDict[str] = CIMultiDict()
        for raw_name, raw_value in got.headers:
            answer.add(raw_name.decode(), raw_value.decode("utf-8", "surrogateescape"))
        for name in (*_HOP_BY_HOP, "Content-Length"):
            answer.popall(name, None)
        answer.update(self._through())
        return Outgoing(got.status, answer, got.content)

    def _passed_on(
        self, request: Incoming, exchange: Exchange, match: routing.Match, service: Entity
    ) -> CIMultiDict[str]:
        headers = exchange.headers.copy()
        host = request.headers.get("Host", "")
        for name in (*_HOP_BY_HOP, "Content-Length", "X-Forwarded-Prefix"):
            headers.popall(name, None)
        default = (service["protocol"], service["port"]) in (("http", 80), ("https", 443))
        own_host = service["host"] if default else f"{service['host']}:{service['port']}"
        before = request.headers.getall("X-Forwarded-For", [])
        headers["Host"] = host if match.route["preserve_host"] else own_host
        headers["Connection"] = "keep-alive"
        headers["X-Forwarded-For"] = ", ".join([*before, request.address])
        headers["X-Forwarded-Proto"] = "https" if request.secure else "http"
        headers["X-Forwarded-Host"] = host.partition(":")[0].lower()
        headers["X-Forwarded-Port"] = str(request.port)
        headers["X-Forwarded-Path"] = exchange.path
        headers["X-Real-IP"] = request.address
        if match.prefix is not None:
            headers["X-Forwarded-Prefix"] = match.prefix
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(request.body))
        return headers

    # Answers of the proxy itself

    def _through(self) -> Mapping[str, str]:
        return {"Via": self.version.product, "X-Kong-Upstream-Latency": "0", "X-Kong-Proxy-Latency": "0"}

    def _failed(self, request: Incoming, status: int, message: str) -> Outgoing:
        """Answer where the upstream did not. Who says not what they accept gets text."""
        kind, body = _rendered(message, request.headers.get("Accept"), "text/plain")
        return Outgoing(status, CIMultiDict({**self._through(), "Content-Type": kind}), body)

    def _own(self, halt: Halt, request: Incoming) -> Outgoing:
        headers = CIMultiDict({"Server": self.version.product, "X-Kong-Response-Latency": "0", **halt.headers})
        if halt.status in _REASONS:
            title = f"{halt.status} {_REASONS[halt.status]}"
            headers["Content-Type"] = "text/html" if halt.status < 303 else "text/html; charset=UTF-8"
            page = f"<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>"
            return Outgoing(halt.status, headers, f"<html>\r\n{page}\r\n</html>\r\n".encode())
        if halt.content is None:
            return Outgoing(halt.status, headers)
        if isinstance(halt.content, str):
            kind, body = _rendered(halt.content, request.headers.get("Accept"), halt.unasked)
        else:
            kind, body = "application/json; charset=utf-8", json.dumps(halt.content).encode()
        headers["Content-Type"] = kind
        return Outgoing(halt.status, headers, body)


def _rendered(message: str, accept: str | None, unasked: str) -> tuple[str, bytes]:
    """Return the type and the body of a message for a client that accepts some types."""
    accept = unasked if accept is None else accept.lower()
    if "text/html" in accept:
        kind, text = (
            "text/html",
            (
                '<!doctype html>\n<html>\n  <head>\n    <meta charset="utf-8">\n    <title>Error</title>\n  </head>\n'
                f"  <body>\n    <h1>Error</h1>\n    <p>{message}.</p>\n  </body>\n</html>\n"
            ),
        )
    elif "application/grpc" in accept:
        return "", b""
    elif "xml" in accept:
        kind = "application/xml"
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<error>\n  <message>{message}</message>\n</error>\n'
    elif "text/plain" in accept:
        kind, text = "text/plain", f"{message}\n"
    else:
        kind, text = "application/json", json.dumps({"message": message})
    return f"{kind}; charset=utf-8", text.encode()


def _unresolved(error: BaseException) -> bool:
    """Whether a connection failed because a name means nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def upstream_pool() -> httpcore.AsyncConnectionPool:
    """Return connections to upstreams. As Kong without `tls_verify`, it believes every certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return httpcore.AsyncConnectionPool(ssl_context=context, keepalive_expiry=1, retries=0)
