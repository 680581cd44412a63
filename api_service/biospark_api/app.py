"""Puts the service together. Called by `main` to serve it and by the tests to talk to it in process."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from biospark_api.agents.operations import agents
from biospark_api.audit.operations import audit
from biospark_api.auth.operations import auth, keys
from biospark_api.database.check import SchemaCheck
from biospark_api.http import problems
from biospark_api.http.apidocs import docs_router
from biospark_api.http.calls import Operations
from biospark_api.http.contract import REF, SECURITY_SCHEME
from biospark_api.http.dispatch import Dispatch
from biospark_api.http.edge import Edge
from biospark_api.http.headers import protective_headers
from biospark_api.http.health import NotReadyProblem, health_router
from biospark_api.http.limits import BodyLimit
from biospark_api.http.observation import RequestMetrics, RouteTemplates
from biospark_api.patients.operations import patients
from biospark_api.readiness import Phase, Readiness
from biospark_api.records.operations import records
from biospark_api.services import running
from biospark_api.settings import Settings
from biospark_api.shares import Shares
from biospark_api.sources import Secrets, secrets_of
from biospark_api.users.operations import users

log = logging.getLogger(__name__)

TITLE = "BioSpark Health AI API"
API_VERSION = "1.0.0"
_DESCRIPTION = (
    "Core API of BioSpark Health AI. Errors are `application/problem+json` (RFC 9457). "
    "Every response carries `X-Request-ID`; send your own to follow a request through the logs."
)
DOMAINS: tuple[Operations, ...] = (auth, keys, patients, records, agents, users, audit)
_TAGS = (
    ("auth", "Tokens and sessions."),
    ("patients", "Patients."),
    ("health records", "What was recorded about a patient."),
    ("agents", "Agents of the platform."),
    ("users", "Who may log in, and what they may do."),
    ("audit", "Who did what."),
    ("health", "For the probes of the cluster."),
)
# Referenced by error responses, which FastAPI does not collect because of their media type.
_PUBLISHED: tuple[type[BaseModel], ...] = (problems.Problem, NotReadyProblem)


class Api(FastAPI):
    """FastAPI with our layers around it, and a document that also holds what our operations refer to: problems,
    bodies, the token.
    """

    entry: ASGIApp
    """What takes the requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection: a request, or the lifespan of the application."""
        scope["app"] = self
        if scope["type"] == "http":
            await self.entry(scope, receive, send)
        else:
            await self._live(scope, receive, send)

    async def framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """FastAPI itself, with its own layers and its router."""
        await super().__call__(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_reason(message: Message) -> None:
            # Starlette reports a failed start with the exception's text, which the server would log as it is.
            await send({"type": message["type"]})

        try:
            await self.framework(scope, receive, send_without_reason)
        except Exception:
            log.exception("The start or the stop of the application failed")
            raise

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        document = super().openapi()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(_published_schemas())
        components["securitySchemes"] = {
            SECURITY_SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From a login."}
        }
        return document


def _published_schemas() -> dict[str, Any]:
    bodies = {operation.contract.body for domain in DOMAINS for _, _, operation in domain.declared}
    _, schema = models_json_schema(
        [(model, "serialization") for model in _PUBLISHED] + [(model, "validation") for model in bodies if model],
        ref_template=REF,
    )
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


def create_app(settings: Settings, secrets: Secrets | None = None) -> FastAPI:
    """The complete ASGI application; `secrets` are those of the settings unless given.

    `app.state.readiness` is the registry of readiness checks, `app.state.metrics` the request metrics,
    `app.state.services` what the operations work with: None until the start, and without a database. The
    application becomes ready at the end of its lifespan's start.
    """
    secrets = secrets or secrets_of(settings, {})
    readiness = Readiness()
    metrics = RequestMetrics()
    app = Api(
        title=TITLE,
        version=API_VERSION,
        description=_DESCRIPTION,
        servers=_servers(settings),
        openapi_tags=[{"name": name, "description": text} for name, text in _TAGS],
        responses={"default": problems.documented("Any other error.")},
        generate_unique_id_function=lambda route: route.name,
        lifespan=lambda app: _lifespan(app, settings, secrets),
        openapi_url="/openapi.json" if settings.docs else None,
        docs_url=None,
        redoc_url=None,
        # A redirect would repeat the query string in a header; a wrong path is a 404.
        redirect_slashes=False,
    )
    app.state.readiness = readiness
    app.state.metrics = metrics
    app.state.services = None
    for domain in DOMAINS:
        app.include_router(domain.router)
    app.include_router(health_router(readiness))
    if settings.docs:
        app.include_router(docs_router(TITLE))
    problems.install(app)
    dispatch = Dispatch(app.framework, domains=DOMAINS)
    app.entry = Edge(
        BodyLimit(
            dispatch,
            max_bytes=settings.max_body_bytes,
            seconds=settings.body_seconds,
            shares=Shares(settings.max_bodies_bytes // 2, settings.max_bodies_bytes),
            wait_seconds=settings.database_wait_seconds,
        ),
        headers=protective_headers(settings),
        templates=RouteTemplates(app),
        metrics=metrics,
        draining=lambda: readiness.phase is Phase.DRAINING,
    )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: Settings, secrets: Secrets) -> AsyncIterator[None]:
    readiness: Readiness = app.state.readiness
    async with AsyncExitStack() as stack:
        if settings.database_host is None:
            readiness.add("database", _without_database)
        else:
            services = await stack.enter_async_context(running(settings, secrets))
            readiness.add("database", SchemaCheck(services.pool))
            app.state.services = services
            app.state.metrics.watch(services)
        readiness.serve()
        yield
        readiness.drain()


async def _without_database() -> str:
    return "Not configured: without BIOSPARK_DATABASE_HOST there are only health and documentation."


def _servers(settings: Settings) -> list[dict[str, Any]]:
    here = {"url": "/", "description": "The address that this document came from"}
    if settings.public_url is None:
        return [here]
    return [{"url": str(settings.public_url).rstrip("/"), "description": "Through the gateway"}, here]
