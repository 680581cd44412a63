"""Every error response, as RFC 9457 `application/problem+json`. Installed by `app`.

What clients may rely on: `status` and `title` for programs, `detail` for people, `errors[]` with JSON
pointers for a rejected body, `requestId` for support. Values that the client sent are never repeated, because
they may be health data and responses end up in logs of gateways and browsers.
"""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from biospark_api.http.correlation import current_request_id
from biospark_api.http.faults import Fault, describe_faults

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

# The standard library still has the names of older RFCs for these, depending on the Python version.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
_DETAILS = {
    404: "There is nothing at this path.",
    500: "The service failed to answer. Quote the request id when you report this.",
}


class Problem(BaseModel):
    """An error as RFC 9457 describes it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    type: str = Field(default="about:blank", description="URI reference of the kind of problem.")
    title: str = Field(description="Short name of the kind of problem; the same for each occurrence.")
    status: int = Field(ge=400, le=599, description="The HTTP status code.")
    detail: str | None = Field(default=None, description="What is wrong this time and what to do about it.")
    request_id: str | None = Field(default=None, description="Id of the request, as in X-Request-ID.")
    errors: list[Fault] | None = Field(default=None, description="Each fault of a rejected request.")


class ProblemError(HTTPException):
    """A problem, raised from anywhere below an operation."""

    def __init__(
        self, status: int, detail: str, errors: list[Fault] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.errors = errors


def title_of(status: int) -> str:
    """The name of a status code, the same on every Python version."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def problem(status: int, detail: str | None = None, errors: list[Fault] | None = None) -> Problem:
    """A problem of the generic type for the request that is being answered."""
    return Problem(
        title=title_of(status),
        status=status,
        detail=detail or _DETAILS.get(status),
        request_id=current_request_id.get(),
        errors=errors,
    )


def problem_response(content: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """The response that carries a problem."""
    body = content.model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(body, content.status, headers, media_type=MEDIA_TYPE)


def documented(description: str, model: type[Problem] = Problem) -> dict[str, Any]:
    """An entry for `responses=` of a route; the model must be among those that the document publishes."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def response_to(request: Request, error: Exception) -> Response:
    """The problem that an `HTTPException` or a `RequestValidationError` stands for."""
    if isinstance(error, RequestValidationError):
        faults = describe_faults(error.errors())
        return problem_response(problem(422, "The request is not valid; see errors.", faults))
    assert isinstance(error, HTTPException)  # noqa: S101 - the only other class that this is called for
    headers = dict(error.headers or {})
    if error.status_code == 405 and "Allow" in headers:
        headers["Allow"] = ", ".join(_allowed(request)) or headers["Allow"]
    if error.status_code < 400:
        return Response(status_code=error.status_code, headers=headers)
    errors = error.errors if isinstance(error, ProblemError) else None
    return problem_response(problem(error.status_code, _detail_of(error, headers), errors), headers)


def _allowed(request: Request) -> list[str]:
    """All methods of the path; the router names those of the first route that has it only."""
    path = request.scope["path"]
    methods = {
        method
        for route in iter_route_contexts(request.app.routes)
        if route.path and compile_path(route.path)[0].match(path)
        for method in route.methods or ()
    }
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def _detail_of(error: HTTPException, headers: dict[str, str]) -> str | None:
    if error.status_code == 405 and "Allow" in headers:
        return f"This path allows {headers['Allow']}."
    # Starlette fills in the status phrase where no detail was given; the title says that already.
    return None if error.detail == HTTPStatus(error.status_code).phrase else str(error.detail)


async def _on_exception(request: Request, error: Exception) -> Response:
    return response_to(request, error)


async def _on_fault(_request: Request, _error: Exception) -> Response:
    # The framework raises the exception again, and `edge` logs it.
    return problem_response(problem(500))


def install(app: FastAPI) -> None:
    """Make every error of the framework a problem; `edge` does so with what is left."""
    app.add_exception_handler(HTTPException, _on_exception)
    app.add_exception_handler(RequestValidationError, _on_exception)
    app.add_exception_handler(Exception, _on_fault)
