"""One request on its way through the proxy, as plugins see and change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from multidict import CIMultiDict

from tests.fakes.kong.identity import Version

Entity = Mapping[str, Any]


class Halt(Exception):  # noqa: N818 - an answer, not a fault of the program
    """Ends the way of a request: the proxy itself answers. `content` is a message, or JSON, or None for no body."""

    def __init__(self, status: int, content: str | Mapping[str, Any] | None = None, **headers: str) -> None:
        super().__init__(status)
        self.status = status
        self.content = content
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        #: The type of a message for clients that say nothing of what they accept.
        self.unasked = "application/json"


class Credentials(Protocol):
    """What plugins ask the configuration of the proxy."""

    def jwt_secret(self, key: str) -> Entity | None: ...

    def consumer(self, id_or_name: str) -> Entity | None: ...


@dataclass
class Exchange:
    """A request and what has become of it so far."""

    version: Version
    method: str
    #: As they came, not decoded.
    path: str
    query: str
    headers: CIMultiDict[str]
    body: bytes
    address: str
    #: Seconds since the epoch.
    now: float
    config: Credentials
    #: Requests that were counted, by what they count for; outlives the request.
    counters: dict[Any, int]
    route: Entity | None = None
    service: Entity | None = None
    consumer: Entity | None = None
    credential: Entity | None = None
    #: What is added to the answer, whoever gives it.
    answer_headers: CIMultiDict[str] = field(default_factory=CIMultiDict)

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def query_values(self, name: str) -> Sequence[str]:
        """Return the values of an argument of the query."""
        pairs = (pair.partition("=") for pair in self.query.split("&"))
        return [value for key, _, value in pairs if key == name and value]
