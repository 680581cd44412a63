"""What gatherers find out, one kind of evidence for each question. Values only.

Evidence says what was looked at, not only what was wrong with it: an empty list of findings in a list of nothing
would read as success. None means that something could not be found out, which is neither good nor bad.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from biospark_operator.gates.gate import Evidence


@dataclass(frozen=True)
class ComponentState:
    """One enabled component, and the generation that it was judged at."""

    name: str
    ready: bool
    generation: int


@dataclass(frozen=True, kw_only=True)
class Components(Evidence):
    """The enabled components of the environment."""

    components: tuple[ComponentState, ...]

    @property
    def sample_size(self) -> int:
        """How many components."""
        return len(self.components)


@dataclass(frozen=True, kw_only=True)
class LiveSchema(Evidence):
    """The schema of the running database beside the model."""

    unit: ClassVar[str] = "difference"

    revision: str | None
    target: str
    compared: int
    """Tables, columns, indexes and constraints that were compared."""
    differences: tuple[str, ...]
    missing_agents: tuple[str, ...]

    @property
    def sample_size(self) -> int:
        """How many objects were compared."""
        return self.compared


@dataclass(frozen=True, kw_only=True)
class RequestTimes(Evidence):
    """Authenticated requests to the API."""

    unit: ClassVar[str] = "ms"

    milliseconds: tuple[float, ...]
    """Of the requests that were answered with 200."""
    failures: int
    through: str
    """The way they took, such as `the gateway`."""

    @property
    def sample_size(self) -> int:
        """How many requests."""
        return len(self.milliseconds) + self.failures


class LoginCase(StrEnum):
    """What was shown to whoever checks tokens or passwords."""

    VALID_TOKEN = "valid token"  # noqa: S105 - a case
    WRONG_PASSWORD = "wrong password"  # noqa: S105 - a case
    NO_TOKEN = "no token"  # noqa: S105 - a case
    TAMPERED_TOKEN = "tampered token"  # noqa: S105 - a case
    EXPIRED_TOKEN = "expired token"  # noqa: S105 - a case
    UNSIGNED_TOKEN = "token with alg none"  # noqa: S105 - a case
    FOREIGN_TOKEN = "token of a foreign key"  # noqa: S105 - a case


@dataclass(frozen=True)
class Attempt:
    """The HTTP status that a case was answered with at one place."""

    case: LoginCase
    place: str
    status: int


@dataclass(frozen=True, kw_only=True)
class Attempts(Evidence):
    """Logins and tokens, good and bad ones, at each place that has to check them."""

    places: tuple[str, ...]
    """Such as `the gateway` and `the API`."""
    attempts: tuple[Attempt, ...]

    @property
    def sample_size(self) -> int:
        """How many attempts."""
        return len(self.attempts) if self.places else 0


@dataclass(frozen=True)
class ContainerHardening:
    """How a live container of any kind runs."""

    name: str
    """With its pod, such as `biospark-api-7d9f/api`."""
    non_root: bool
    escalation_denied: bool
    capabilities_dropped: bool
    read_only_root: bool
    seccomp: bool


class PlainHttp(StrEnum):
    """What a request without TLS is answered with."""

    REDIRECTED = "redirected"
    REFUSED = "refused"
    SERVED = "served"


@dataclass(frozen=True, kw_only=True)
class Hardening(Evidence):
    """Live containers, the namespace's Pod Security level, and answers to HTTP requests."""

    containers: tuple[ContainerHardening, ...]
    pod_security: str | None
    """The level that the namespace enforces."""
    wanted_pod_security: str
    headers: Mapping[str, str] | None
    """Of an answer of the API, by name in lower case."""
    plain_http: PlainHttp | None

    @property
    def sample_size(self) -> int:
        """How many containers."""
        return len(self.containers)


@dataclass(frozen=True)
class VaultSecret:
    """A secret that the API needs, as Vault has it."""

    path: str
    present: bool
    owned: bool
    current: bool


@dataclass(frozen=True, kw_only=True)
class VaultSecrets(Evidence):
    """Where the API's secrets are, and what its own role may do in Vault."""

    configured: bool
    """Whether the environment has a Vault at all."""
    secrets: tuple[VaultSecret, ...] = ()
    own_path_readable: bool | None = None
    foreign_path_denied: bool | None = None
    writable: tuple[str, ...] | None = None
    copies: tuple[str, ...] | None = None
    """Secrets, ConfigMaps and pods that hold a value of Vault, although it is delivered directly; never the value."""

    @property
    def sample_size(self) -> int:
        """How many secrets; without a Vault there is nothing to sample, and that is the finding."""
        return len(self.secrets) if self.configured else 1


@dataclass(frozen=True, kw_only=True)
class Certificate(Evidence):
    """The certificate in the Secret, read from the certificate itself, and the one that is served."""

    unit: ClassVar[str] = "h"

    secret: str
    serial: str
    served_serial: str | None
    names: tuple[str, ...]
    wanted_names: tuple[str, ...]
    trusted: bool | None
    """Whether the chain verifies against the issuer's current CA."""
    key_matches: bool
    not_before: datetime
    not_after: datetime
    renewal_time: datetime | None

    @property
    def sample_size(self) -> int:
        """One certificate."""
        return 1


@dataclass(frozen=True)
class Connection:
    """Whether the live policies let a connection through, and whether they should."""

    source: str
    target: str
    port: int
    protocol: str
    allowed: bool
    intended: bool

    def __str__(self) -> str:
        return f"{self.source} to {self.target} {self.protocol} {self.port}"


@dataclass(frozen=True, kw_only=True)
class Connections(Evidence):
    """Which connections the live policies let through, and what a short-lived pod could reach."""

    connections: tuple[Connection, ...]
    pods_not_isolated: tuple[str, ...]
    """Each with the direction in which no policy selects it."""
    reached: tuple[str, ...] | None = None
    """What the probe reached although the policies deny it; None where no probe ran."""
    control_reached: bool | None = None
    """Whether the probe reached what it may reach: a pod without any network is denied everything as well."""

    @property
    def sample_size(self) -> int:
        """How many connections were computed."""
        return len(self.connections)


@dataclass(frozen=True)
class AccessReview:
    """A question to the API server whether a subject may do something."""

    subject: str
    verb: str
    resource: str
    expected: bool
    allowed: bool
    known: bool
    """Whether discovery has the resource: a misspelt one is denied to everybody."""
    control: bool = False
    """Whether it is there only to prove that the subject was asked for rightly."""

    def __str__(self) -> str:
        return f"{self.subject} {self.verb} {self.resource}"


@dataclass(frozen=True, kw_only=True)
class AccessReviews(Evidence):
    """What must be allowed, and what must be denied."""

    reviews: tuple[AccessReview, ...]

    @property
    def sample_size(self) -> int:
        """How many reviews, those that are no control."""
        return sum(not review.control for review in self.reviews)


@dataclass(frozen=True, kw_only=True)
class CredentialScan(Evidence):
    """Live objects that were searched for credentials. It holds places, never what was found there."""

    scanned: tuple[str, ...]
    found: tuple[str, ...]
    """Objects with the field, and what it looks like."""
    compared_with_store: bool
    """Whether the objects were also searched for the values that the secret store holds."""

    @property
    def sample_size(self) -> int:
        """How many objects."""
        return len(self.scanned)


class ThroughputSource(StrEnum):
    """Where the numbers come from."""

    PROBE = "the load probe"
    METRICS = "the gateway's metrics"


@dataclass(frozen=True, kw_only=True)
class Throughput(Evidence):
    """Requests through the gateway, and the limit that it is configured with."""

    unit: ClassVar[str] = "requests/min"

    source: ThroughputSource
    requests: int
    errors: int
    """Requests that were refused by the limit or ended in a server error."""
    seconds: float
    """How long the rate was held."""
    wanted_seconds: float
    per_minute: float
    configured_per_minute: int | None

    @property
    def sample_size(self) -> int:
        """How many requests."""
        return self.requests


@dataclass(frozen=True, kw_only=True)
class QueryTimes(Evidence):
    """Representative queries as the API's role, in milliseconds."""

    unit: ClassVar[str] = "ms"

    list_page: tuple[float, ...]
    by_id: tuple[float, ...]
    containment: tuple[float, ...]
    """Of JSONB, through the GIN index."""
    failures: int = 0

    @property
    def queries(self) -> Mapping[str, tuple[float, ...]]:
        """The times by what is asked."""
        return {"list page": self.list_page, "by id": self.by_id, "JSONB containment": self.containment}

    @property
    def sample_size(self) -> int:
        """How many of the query that was asked least; failures count, since they are a finding."""
        return min(map(len, self.queries.values())) + self.failures


@dataclass(frozen=True)
class PodStart:
    """Time from a pod's creation until it was ready; None where that was not seen."""

    name: str
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Startup(Evidence):
    """The pods of the newest rollout."""

    unit: ClassVar[str] = "s"

    pods: tuple[PodStart, ...]
    environment_seconds: float | None = None
    """From the first pass until the environment was ready; None where another process saw that."""

    @property
    def sample_size(self) -> int:
        """How many pods."""
        return len(self.pods)


@dataclass(frozen=True)
class ContainerUse:
    """What a container used, in the unit of its limit. None is no limit."""

    name: str
    samples: tuple[float, ...]
    limit: float | None


@dataclass(frozen=True, kw_only=True)
class MemoryUse(Evidence):
    """Working sets of the API's containers, and how containers ended."""

    unit: ClassVar[str] = "% of the limit"

    containers: tuple[ContainerUse, ...]
    killed: tuple[str, ...]
    """Containers that were killed because they were out of memory, in the window."""
    unexplained_restarts: int

    @property
    def sample_size(self) -> int:
        """How many samples of the container with the fewest. One that was killed has none, and is a finding."""
        return min((len(container.samples) for container in self.containers), default=0) or len(self.killed)


@dataclass(frozen=True, kw_only=True)
class CpuUse(Evidence):
    """Processor time of the API's containers."""

    unit: ClassVar[str] = "% of the limit"

    containers: tuple[ContainerUse, ...]

    @property
    def sample_size(self) -> int:
        """How many samples of the container with the fewest."""
        return min((len(container.samples) for container in self.containers), default=0)


@dataclass(frozen=True, kw_only=True)
class Page(Evidence):
    """A page of documentation."""

    source: str
    answered: bool
    sections: tuple[str, ...]
    required: tuple[str, ...]
    """What this environment needs a mention of, such as its components or reasons."""
    mentioned: tuple[str, ...]

    @property
    def sample_size(self) -> int:
        """One page, or none where there is nothing that it has to mention."""
        return len(self.required)


@dataclass(frozen=True, kw_only=True)
class InfrastructurePage(Page):
    """The description of the infrastructure."""


@dataclass(frozen=True, kw_only=True)
class SecurityPage(Page):
    """The description of the security measures."""


@dataclass(frozen=True, kw_only=True)
class TroubleshootingPage(Page):
    """What to do about failures."""


@dataclass(frozen=True)
class Operation:
    """An operation of the API as its document describes it."""

    name: str
    """Method and path."""
    summary: bool
    answers: bool
    """Whether each answer with a body has a schema."""
    errors: bool
    """Whether there is an answer for errors."""


@dataclass(frozen=True, kw_only=True)
class OpenApi(Evidence):
    """The OpenAPI document of the running API."""

    problems: tuple[str, ...]
    """Why it is no valid document."""
    operations: tuple[Operation, ...]

    @property
    def sample_size(self) -> int:
        """How many operations; an invalid document is a finding even without."""
        return len(self.operations) + len(self.problems)


@dataclass(frozen=True)
class Runbook:
    """What to do about one installed alert."""

    alert: str
    url: str | None
    answered: bool
    section: bool
    """Whether the page has a section for this alert."""


@dataclass(frozen=True, kw_only=True)
class Runbooks(Evidence):
    """The runbooks of all installed alerts."""

    runbooks: tuple[Runbook, ...]

    @property
    def sample_size(self) -> int:
        """How many alerts."""
        return len(self.runbooks)
