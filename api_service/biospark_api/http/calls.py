"""An operation of the API: who may call it, what it takes, and what is written into the audit log about it.

Each domain declares its operations with `Operations`; handlers take a `Call` and return a response. FastAPI
documents them, but does not parse for them: its parameters and dependencies cost 0.25 ms a request, so a call
reads query string and body into the same pydantic models by itself. `dispatch` leads requests to them.
"""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import psycopg
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response

from biospark_api import documents
from biospark_api.audit.entries import Entry, ids
from biospark_api.database.connection import Row
from biospark_api.database.errors import StuckError, is_lost, problem_of
from biospark_api.fields import WITHIN, Input
from biospark_api.http.contract import Contract, described
from biospark_api.http.correlation import current_request_id
from biospark_api.http.delivery import LARGE, hold, let_go
from biospark_api.http.headers import header
from biospark_api.http.problems import ProblemError
from biospark_api.security.permissions import PERMISSIONS, Permission
from biospark_api.security.throttle import client_address
from biospark_api.security.tokens import Principal
from biospark_api.services import Services
from biospark_api.shares import current_holder

_Model = TypeVar("_Model", bound=BaseModel)
_Body = TypeVar("_Body", bound=Input)
_OUTCOMES = {401: "denied", 403: "denied", 429: "denied"}


@dataclass(frozen=True)
class Operation:
    """One operation as its domain declared it. Without a permission anybody may call it."""

    action: str
    permission: Permission | None
    contract: Contract
    reads: bool = False
    """Whether it changes nothing, so that it may be done again when a connection was lost."""


class Call:
    """One request to an operation."""

    __slots__ = ("_principal", "audited", "operation", "patient", "request", "services", "shown", "target")

    def __init__(self, request: Request, services: Services, operation: Operation) -> None:
        self.request = request
        self.services = services
        self.operation = operation
        self.audited = False
        self.target: str | None = None
        self.shown: str | None = None
        self.patient: str | None = None
        """Whom an answer that is kept speaks of."""
        self._principal: Principal | None = None

    @property
    def principal(self) -> Principal:
        """Who calls; only for operations that need a permission."""
        assert self._principal is not None  # noqa: S101 - `authorize` ran before the handler
        return self._principal

    async def authorize(self) -> None:
        """Raise the 401 or 403 problem unless the caller may do this."""
        permission = self.operation.permission
        if permission is None:
            current_holder.set(self.client_address)
            return
        header = self.header(b"authorization")
        current_holder.set(header)
        self._principal = await self.services.tokens.authenticate(header, self.services.pool)
        current_holder.set(self._principal.user_id)
        if permission not in PERMISSIONS[self._principal.role]:
            raise ProblemError(403, f"The role {self._principal.role.value} may not {permission.value}.")

    def header(self, name: bytes) -> str | None:
        """A header of the request, by its name in lower case."""
        return header(self.request.scope, name)

    def query(self, model: type[_Model]) -> _Model:
        """The query string; raises the framework's validation error."""
        parsed: _Model = _parsed(model, self.request.scope["query_string"])
        return parsed

    async def body(self, model: type[_Body]) -> _Body:
        """The JSON body; raises the framework's validation error, or the 415 problem."""
        media_type = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        if media_type not in self.operation.contract.media_types:
            expected = " or ".join(self.operation.contract.media_types)
            raise ProblemError(415, f"Send the body as Content-Type: {expected}.")
        body = await self.request.body()
        largest = self.operation.contract.largest
        if largest is not None and len(body) > largest:
            raise ProblemError(413, f"The body of this operation may have at most {largest} bytes.")
        try:
            return model.model_validate(documents.read(body)) if model.holds_documents else _of_fields(model, body)
        except documents.InvalidJsonError as error:
            raise _unreadable(error, model) from None
        except ValidationError as error:
            raise _invalid(error, "body", model) from None

    @property
    def client_address(self) -> str:
        """Where the request comes from, as far as our own proxies tell."""
        return client_address(self.request, self.services.settings.trusted_proxies)

    def showing(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows of an answer, noted for the audit log."""
        self.shown = ids([row.id for row in rows])
        return rows

    @property
    def path(self) -> str:
        """The path that was asked for. `request.url` would put a whole URL together, only to take it apart."""
        return str(self.request.scope["path"])

    def id(self, name: str) -> str:
        """An id of the path."""
        return str(self.request.path_params[name])

    def entry(self, status: int = 200) -> dict[str, Any]:
        """Parameters for an `audited` statement. Call it once, for the statement that makes the change."""
        self.audited = True
        return self._entry("success", status).parameters()

    async def hold(self, response: Response) -> None:
        """Make room for a large answer, and write down who gets it before it leaves. Raises the 503 problem, but for
        a change that was made.
        """
        await hold(self.services.answers, self.request.scope, len(response.body), done=self.audited)
        if not self.audited:
            try:
                await self.services.audit.write(self._entry("success", response.status_code))
            except BaseException:
                let_go(self.request.scope)
                raise
            self.audited = True

    def note(self, status: int) -> None:
        """Put how the call ended into the audit log, unless a statement did."""
        succeeded = status < 400
        if succeeded and self.audited:
            return
        if self._principal is None and status == 401 and self.operation.permission is not None:
            return  # anybody can make these by the million; the metrics count them
        self.services.audit.add(self._entry("success" if succeeded else _OUTCOMES.get(status, "failure"), status))

    def _entry(self, outcome: str, status: int) -> Entry:
        actor = self._principal
        return Entry(
            self.operation.action,
            outcome,
            status,
            actor.user_id if actor else None,
            actor.role.value if actor else None,
            self.target,
            current_request_id.get(),
            _as_address(self.client_address),
            self.shown if outcome == "success" else None,
        )

    def act_as(self, principal: Principal) -> None:
        """Note who turned out to call an operation that needs no token."""
        self._principal = principal


@lru_cache(maxsize=4096)
def _as_address(text: str) -> str | None:
    """An address as PostgreSQL takes it: without the name of a network interface."""
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


Handler = Callable[[Call], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Operations:
    """The operations of a domain, and the router that serves them."""

    def __init__(self, prefix: str, tag: str) -> None:
        self.router = APIRouter(prefix=_typed(prefix), tags=[tag])
        self.declared: list[tuple[str, str, Operation]] = []
        self.endpoints: list[Endpoint] = []
        """In the order of `declared`; they raise the problem where there is one."""
        self._prefix = prefix

    def add(
        self, method: str, path: str, action: str, permission: Permission | None, contract: Contract
    ) -> Callable[[Handler], Handler]:
        """Declare an operation; the function's docstring is its description in the document."""
        reads = method == "GET" or path.endswith("/_search")
        operation = Operation(action, permission, contract, reads)
        self.declared.append((method, self._prefix + path, operation))

        def decorate(handler: Handler) -> Handler:
            endpoint = _endpoint(operation, handler)
            self.endpoints.append(endpoint)
            self.router.add_api_route(
                _typed(path),
                endpoint,
                methods=[method],
                name=handler.__name__,
                description=(handler.__doc__ or "").strip(),
                **described(contract, self._prefix + path, public=permission is None),
            )
            return handler

        return decorate


def _typed(path: str) -> str:
    """The path whose ids are UUIDs: anything else there, such as `_search`, is another path."""
    return re.sub(r"{(\w+)}", r"{\1:uuid}", path)


def _endpoint(operation: Operation, handler: Handler) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        services: Services | None = request.app.state.services
        if services is None:
            raise ProblemError(503, "This service has no database; set BIOSPARK_DATABASE_HOST.")
        call = Call(request, services, operation)
        try:
            try:
                await call.authorize()
            except psycopg.Error as error:
                if not _may_succeed_again(error):
                    raise
                await call.authorize()
            try:
                response = await handler(call)
            except psycopg.Error as error:
                if not (operation.reads and _may_succeed_again(error)):
                    raise
                response = await handler(call)
            if len(response.body) > LARGE:
                await call.hold(response)
        except RequestValidationError:
            call.note(422)
            raise
        except HTTPException as error:
            call.note(error.status_code)
            raise
        except psycopg.Error as error:
            problem = problem_of(error)
            call.note(problem.status_code if problem else 500)
            if problem is None:
                raise
            raise problem from None
        call.note(response.status_code)
        return response

    return endpoint


def _may_succeed_again(error: psycopg.Error) -> bool:
    """Whether another connection may do what this one did not. Only reads are asked again: nobody knows of a change
    whether it was made.
    """
    return is_lost(error) and not isinstance(error, StuckError)


@lru_cache(maxsize=512)  # clients ask for the same pages again and again
def _parsed(model: type[BaseModel], query: bytes) -> Any:
    pairs = QueryParams(query).multi_items()
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ProblemError(422, "A query parameter is given twice.")
    try:
        return model.model_validate_strings(values)
    except ValidationError as error:
        raise _invalid(error, "query", model) from None


def _of_fields(model: type[_Body], body: bytes) -> _Body:
    """A body without documents, which needs no parser that keeps numbers as they are."""
    parsed = model.model_validate_json(body)
    # With as many colons as members, none of them is there twice; most bodies are done with that.
    if body.count(b":") != len(parsed.model_fields_set):
        documents.read(body)
    return parsed


def _unreadable(error: documents.InvalidJsonError, model: type[BaseModel]) -> RequestValidationError:
    # What leads through a member that is not known stays out, as its name does.
    path = error.path if error.path and error.path[0] in model.model_fields else ()
    return RequestValidationError([{"type": "json", "loc": ("body", *path), "msg": str(error)}])


def _invalid(error: ValidationError, where: str, model: type[BaseModel]) -> RequestValidationError:
    faults: list[dict[str, Any]] = []
    for fault in error.errors(include_url=False, include_input=False):
        if fault["type"] == "extra_forbidden":
            # Its name is the client's text, and may be anybody's name.
            known = ", ".join(sorted(field.alias or name for name, field in model.model_fields.items()))
            message = f"An unknown member is given; known are {known}" if known else "No member is known here"
            loc: tuple[int | str, ...] = (where, *fault["loc"][:-1])
            if not any(other["msg"] == message for other in faults):
                faults.append({"type": "unknown", "loc": loc, "msg": message})
            continue
        if fault["type"] == "document":
            within, message = fault["ctx"][WITHIN], fault["msg"]
            faults.append({"type": "document", "loc": (where, *fault["loc"], *within), "msg": message})
            continue
        if fault["type"] == "model_type":
            faults.append({"type": "model_type", "loc": (where,), "msg": "Input should be an object"})
            continue
        faults.append({**fault, "loc": (where, *fault["loc"])})
    return RequestValidationError(faults)


class _Answer(Response):
    """A response whose headers are known, so that none has to be looked for."""

    media_type = "application/json"

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Content-Length and Content-Type, and the headers of the answer."""
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return _Answer(msgspec.json.encode(content), status, headers)
