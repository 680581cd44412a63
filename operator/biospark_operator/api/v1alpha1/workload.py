"""`spec.api`: the API service that the environment runs."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from biospark_operator.api.v1alpha1.constraints import Entries, Text
from biospark_operator.api.v1alpha1.durations import Between
from biospark_operator.api.v1alpha1.model import Model, Rule
from biospark_operator.api.v1alpha1.quantities import Quantity, parse_quantity

Image = Annotated[
    str,
    Text(
        "write an image reference without scheme, such as registry.example.com/biospark/api:1.0.0",
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._@-]|:[A-Za-z0-9._-]|/[A-Za-z0-9._-])*$",
        max_length=512,
    ),
]
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
Email = Annotated[
    str,
    Text(
        "write an e-mail address such as admin@example.com",
        # As the API has it, which would not start with another one.
        pattern=rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(\.{_LABEL})+$",
        max_length=254,
    ),
]
COMPUTE_RESOURCES = ("cpu", "memory", "ephemeral-storage")
#: One more than there are, so that a wrong one is told by its name. The bound keeps the rules below affordable: up to
#: Kubernetes 1.33 they are taken to cost more.
ResourceList = Annotated[dict[str, Quantity], Entries(len(COMPUTE_RESOURCES) + 1)]


class Autoscaling(Model):
    """Replicas that follow the load, by a HorizontalPodAutoscaler."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "maxReplicas",
            "write a maxReplicas that is at least minReplicas",
            cel="self.minReplicas <= self.maxReplicas",
            holds=lambda s: s.min_replicas <= s.max_replicas,
        ),
    )

    min_replicas: int = Field(ge=1, le=1000, description="Fewest replicas, at least 1.")
    max_replicas: int = Field(ge=1, le=1000, description="Most replicas, at least `minReplicas`.")
    target_cpu_percent: int = Field(
        70,
        ge=1,
        le=1000,
        alias="targetCPUPercent",
        description="CPU use to aim for, in percent of the request. Default 70.",
    )


def _known_resources(resources: "Resources") -> bool:
    return all(key in COMPUTE_RESOURCES for key in (*resources.requests, *resources.limits))


def _requests_fit(resources: "Resources") -> bool:
    return all(
        parse_quantity(amount) <= parse_quantity(resources.limits[key])
        for key, amount in resources.requests.items()
        if key in resources.limits
    )


class Resources(Model):
    """Compute resources of one replica, as in a container of Kubernetes."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "write only cpu, memory and ephemeral-storage in requests and limits",
            cel="[self.?requests.orValue({}), self.?limits.orValue({})].all(m, m.all(k, k in ['cpu', 'memory', "
            "'ephemeral-storage']))",
            holds=_known_resources,
        ),
        Rule(
            "requests",
            "write requests that are at most the limits",
            cel="!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || "
            "quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)",
            holds=_requests_fit,
        ),
    )

    requests: ResourceList = Field(
        default_factory=dict,
        description="Resources that are reserved: `cpu`, `memory`, `ephemeral-storage`. What is absent comes from "
        "the profile, lowered to the limit where that is smaller.",
    )
    limits: ResourceList = Field(
        default_factory=dict,
        description="Resources that are never exceeded: `cpu`, `memory`, `ephemeral-storage`. What is absent comes "
        "from the profile, raised to the request where that is larger.",
    )


class BootstrapAdmin(Model):
    """The first administrator of the API."""

    email: Email = Field(
        description="E-mail address to log in with. The password is generated: key `bootstrap-admin-password` of the "
        "Secret `biospark-api` in the environment's namespace. Used while there is no administrator, later ignored."
    )


class ApiService(Model):
    """The API service."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "write either replicas or autoscaling, not both: remove one of them",
            cel="!(has(self.replicas) && has(self.autoscaling))",
            holds=lambda s: s.replicas is None or s.autoscaling is None,
        ),
    )

    image: Image | None = Field(
        None, description="Container image of the API. Default: the platform setting of the operator."
    )
    replicas: int | None = Field(
        None, ge=1, le=1000, description="Number of replicas; excludes `autoscaling`. Default by profile."
    )
    autoscaling: Autoscaling | None = Field(
        None, description="Replicas that follow the load; excludes `replicas`. Default: a fixed number."
    )
    resources: Resources = Field(
        default_factory=Resources, description="Compute resources of one replica. Default by profile."
    )
    token_lifetime: Annotated[timedelta, Between("1m", "168h")] | None = Field(
        None,
        description="Lifetime of the tokens that the API issues, at most `gateway.jwt.maximumTokenLifetime`; needs a "
        "database. Default `24h`, or that maximum where it is shorter.",
    )
    bootstrap_admin: BootstrapAdmin | None = Field(
        None, description="The first administrator; needs a database. Default: none."
    )
    erase_deleted_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days after which the API erases deleted patients with their health records; needs a database. "
        "Default: they are kept.",
    )
