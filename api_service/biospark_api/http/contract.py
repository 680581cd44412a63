"""What the OpenAPI document says about an operation. Used by `calls`, which does what is said here."""

import re
from dataclasses import dataclass, field
from typing import Any

from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from biospark_api.http import problems

SECURITY_SCHEME = "token"
SMALL = 16_384
"""Most bytes of a body that asks for something: a login, a search."""
REF = "#/components/schemas/{model}"

_REASONS = {
    401: "No token, or one that is not valid.",
    403: "The role of the user does not allow this.",
    404: "There is no such resource.",
    409: "The request conflicts with what is stored.",
    410: "The resource was deleted.",
    412: "The resource was changed since; see `If-Match`.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The request is not valid; `errors` says where.",
    429: "Too many attempts; see `Retry-After`.",
    503: "The service cannot answer now; see `Retry-After`.",
}
_HEADERS = {
    "If-Match": "Change only if the resource still has one of these tags.",
    "If-None-Match": "Answer 304 if the resource still has one of these tags.",
    "Idempotency-Key": "Any text of 1 to 255 printable characters. A second request with the same key and body "
    "within 24 hours is answered like the first, with `Idempotency-Replayed: true`, and changes nothing.",
}
_ANSWER_HEADERS = {
    "ETag": "Version of the resource, for `If-Match` and `If-None-Match`.",
    "Link": 'The next page, `rel="next"`; missing on the last.',
    "Location": "Path of what was created.",
    "X-Total-Count": "Number of all items, if `count` asks for it.",
}


@dataclass(frozen=True)
class Contract:
    """What an operation takes and answers."""

    summary: str
    answer: Any = None
    status: int = 200
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    largest: int | None = None
    """Bytes of a body, if it may have fewer than the service's limit."""
    takes: tuple[str, ...] = ()
    """Request headers."""
    gives: tuple[str, ...] = ()
    """Response headers."""
    problems: tuple[int, ...] = ()
    """Besides those that follow from the rest."""
    media_types: tuple[str, ...] = ("application/json",)
    examples: dict[str, Any] = field(default_factory=dict)


def described(contract: Contract, path: str, *, public: bool) -> dict[str, Any]:
    """Arguments for FastAPI's route."""
    return {
        "summary": contract.summary,
        "status_code": contract.status,
        "response_model": contract.answer,
        "response_class": JSONResponse if contract.answer else Response,
        "responses": _responses(contract, path, public=public),
        "openapi_extra": _extra(contract, path, public=public),
    }


def _extra(contract: Contract, path: str, *, public: bool) -> dict[str, Any]:
    extra: dict[str, Any] = {"parameters": _parameters(contract, path)}
    if contract.body:
        schema = {"$ref": REF.format(model=contract.body.__name__)}
        extra["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": schema} for media_type in contract.media_types},
        }
    if not public:
        extra["security"] = [{SECURITY_SCHEME: []}]
    return extra


def _parameters(contract: Contract, path: str) -> list[dict[str, Any]]:
    uuid = {"type": "string", "format": "uuid"}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": uuid} for name in re.findall(r"{(\w+)}", path)
    ]
    if contract.query:
        for name, schema in contract.query.model_json_schema(ref_template=REF)["properties"].items():
            text = schema.pop("description", None)
            parameters.append({"name": name, "in": "query", "required": False, "schema": _without_null(schema)})
            if text:
                parameters[-1]["description"] = text
    for name in contract.takes:
        limits = {"minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"} if name == "Idempotency-Key" else {}
        header = {"name": name, "in": "header", "required": False, "description": _HEADERS[name]}
        parameters.append({**header, "schema": {"type": "string", **limits}})
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out, it cannot be null."""
    schema.pop("title", None)
    if "anyOf" not in schema:
        return schema
    (kind,) = [kind for kind in schema.pop("anyOf") if kind.get("type") != "null"]
    schema.pop("default", None)
    return {**schema, **kind}


def _responses(contract: Contract, path: str, *, public: bool) -> dict[int | str, Any]:
    codes = {*contract.problems, 503}
    codes |= set() if public else {401, 403}
    codes |= {413, 415, 422} if contract.body else set()
    codes |= {422} if contract.query or "{" in path or "Idempotency-Key" in contract.takes else set()
    codes |= {404} if "{" in path else set()
    codes |= {412} if "If-Match" in contract.takes else set()
    codes |= {409} if "Idempotency-Key" in contract.takes else set()
    answers: dict[int | str, Any] = {code: problems.documented(_REASONS[code]) for code in sorted(codes)}
    if contract.gives:
        answers[contract.status] = {"headers": {name: _header(_ANSWER_HEADERS[name]) for name in contract.gives}}
    if "If-None-Match" in contract.takes:
        answers[304] = {"description": "The client has this version."}
    return answers


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}
