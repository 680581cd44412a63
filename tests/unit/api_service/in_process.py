"""A client of the application without a network, for the tests that decide themselves when it starts."""

import httpx
from fastapi import FastAPI


def in_process(app: FastAPI) -> httpx.AsyncClient:
    """A client that calls the application directly and does not start it."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test")
