"""The short way to an operation. Installed by `app`, as the last layer before the framework.

FastAPI documents the operations and could route all of them, but they parse for themselves, and its machinery for
parameters, dependencies and nested routers would be a tenth of the time of a request. So a path that names an
operation is looked up here; all others, mistyped ones and other methods as well, go on to the framework.
"""

import re
from collections.abc import Iterable

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from biospark_api.http import problems
from biospark_api.http.calls import Endpoint, Operations
from biospark_api.http.delivery import LARGE, deliver

_ID = re.compile(r"(?<=/)[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?=/|$)")
_PARAMETER = re.compile(r"{(\w+)}")


class Dispatch:
    """Calls the endpoint of an operation; leaves everything else to `app`."""

    def __init__(self, app: ASGIApp, *, domains: Iterable[Operations]) -> None:
        self.app = app
        self._endpoints: dict[tuple[str, str], tuple[Endpoint, list[str]]] = {
            (method, _PARAMETER.sub("{}", path)): (endpoint, _PARAMETER.findall(path))
            for domain in domains
            for (method, path, _), endpoint in zip(domain.declared, domain.endpoints, strict=True)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = self._find(scope)
        if found is None:
            await self.app(scope, receive, send)
            return
        endpoint, scope["path_params"] = found
        scope["endpoint"] = endpoint
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request)
        except (HTTPException, RequestValidationError) as error:
            response = problems.response_to(request, error)
        if len(response.body) > LARGE:
            await deliver(response, scope, send)
        else:
            await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[Endpoint, dict[str, str]] | None:
        path, ids = scope["path"], []
        if "-" in path:
            ids = [identifier.lower() for identifier in _ID.findall(path)]
            path = _ID.sub("{}", path)
        endpoint, names = self._endpoints.get((scope["method"], path), (None, []))
        # A path may also have the braces themselves.
        return (endpoint, dict(zip(names, ids, strict=True))) if endpoint and len(ids) == len(names) else None
