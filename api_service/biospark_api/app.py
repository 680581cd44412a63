"""Puts the service together. Called by `main` to serve it and by the tests to talk to it in process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from biospark_api import problems
from biospark_api.apidocs import docs_router
from biospark_api.headers import ProtectiveHeaders, protective_headers
from biospark_api.health import NotReadyProblem, health_router
from biospark_api.limits import BodyLimit
from biospark_api.observation import RequestMetrics, RequestObserver, RouteTemplates
from biospark_api.readiness import Phase, Readiness
from biospark_api.settings import Settings

TITLE = "BioSpark Health AI API"
API_VERSION = "1.0.0"
_DESCRIPTION = (
    "Core API of BioSpark Health AI. Errors are `application/problem+json` (RFC 9457). "
    "Every response carries `X-Request-ID`; send your own to follow a request through the logs."
)
# Referenced by error responses, which FastAPI does not collect because of their media type.
_PUBLISHED: tuple[type[BaseModel], ...] = (problems.Problem, NotReadyProblem)


class Api(FastAPI):
    """FastAPI whose OpenAPI document also holds the schemas of the problems."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(_published_schemas())
        return document


def _published_schemas() -> dict[str, Any]:
    _, schema = models_json_schema(
        [(model, "serialization") for model in _PUBLISHED], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def create_app(settings: Settings) -> FastAPI:
    """The complete ASGI application.

    `app.state.readiness` is the registry of readiness checks, `app.state.metrics` the request metrics. The
    application becomes ready at the end of its lifespan's start.
    """
    readiness = Readiness()
    metrics = RequestMetrics()
    app = Api(
        title=TITLE,
        version=API_VERSION,
        description=_DESCRIPTION,
        servers=_servers(settings),
        openapi_tags=[{"name": "health", "description": "For the probes of the cluster."}],
        responses={"default": problems.documented("Any other error.")},
        generate_unique_id_function=lambda route: route.name,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        # A redirect would repeat the query string in a header; a wrong path is a 404.
        redirect_slashes=False,
    )
    app.state.readiness = readiness
    app.state.metrics = metrics
    app.include_router(health_router(readiness))
    app.include_router(docs_router(TITLE))
    problems.install(app)
    _add_middleware(app, settings, readiness, metrics)
    return app


def _add_middleware(app: FastAPI, settings: Settings, readiness: Readiness, metrics: RequestMetrics) -> None:
    # The one that is added last is the outermost.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(problems.ErrorBoundary)
    app.add_middleware(ProtectiveHeaders, headers=protective_headers(settings))
    app.add_middleware(
        RequestObserver,
        templates=RouteTemplates(app),
        metrics=metrics,
        draining=lambda: readiness.phase is Phase.DRAINING,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    readiness: Readiness = app.state.readiness
    readiness.serve()
    yield
    readiness.drain()


def _servers(settings: Settings) -> list[dict[str, Any]]:
    here = {"url": "/", "description": "The address that this document came from"}
    if settings.public_url is None:
        return [here]
    return [{"url": str(settings.public_url).rstrip("/"), "description": "Through the gateway"}, here]
