"""The service as a process of its own, with one route that answers when its request is complete.

Started by `test_shutdown`; only a real process shows what a signal does to open connections. With the argument
`broken` the start of the application fails.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request

from biospark_api.app import create_app
from biospark_api.logs import configure_logging
from biospark_api.server import run
from biospark_api.settings import load_settings


@asynccontextmanager
async def _failing_start(_app: FastAPI) -> AsyncIterator[None]:
    raise RuntimeError("password=hunter2")
    yield


async def _count(request: Request) -> int:
    return len(await request.body())


def main() -> None:
    settings = load_settings()
    configure_logging(settings.environment, settings.log_level)
    app = create_app(settings)
    app.add_api_route("/count", _count, methods=["POST"])
    if "broken" in sys.argv:
        app.router.lifespan_context = _failing_start
    run(app, settings)


if __name__ == "__main__":
    main()
