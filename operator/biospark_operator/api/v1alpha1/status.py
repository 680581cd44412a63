"""`status`: what the operator reports. Only the operator writes it.

Models here ignore fields they do not know, unlike those of the spec: a status that a newer operator wrote
must stay readable after a downgrade, since the inventory in it is what deletion goes by.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from biospark_operator.api.v1alpha1.conditions import Condition
from biospark_operator.api.v1alpha1.constraints import Keyed, Text
from biospark_operator.api.v1alpha1.gates import GateName
from biospark_operator.api.v1alpha1.model import Model

PLAN_LIMIT = 100
"""Actions that a plan lists; more are only counted."""

RECENT_LIMIT = 20
"""Measured values that a gate lists."""

Short = Annotated[str, Text("write at most 253 characters", max_length=253, min_length=0)]
Line = Annotated[str, Text("write at most 1024 characters", max_length=1024, min_length=0)]


class StatusModel(Model):
    """A part of the status."""

    model_config = ConfigDict(extra="ignore")


class Verb(StrEnum):
    """What an action does to its target."""

    CREATE = "Create"
    UPDATE = "Update"
    REPLACE = "Replace"
    DELETE = "Delete"


class GateCategory(StrEnum):
    """What a gate is about."""

    TECHNICAL = "Technical"
    SECURITY = "Security"
    PERFORMANCE = "Performance"
    DOCUMENTATION = "Documentation"


class GateResult(StrEnum):
    """Verdict of a gate; only Pass and Waived count."""

    PASS = "Pass"  # noqa: S105 - a verdict
    FAIL = "Fail"
    UNKNOWN = "Unknown"
    ERROR = "Error"
    WAIVED = "Waived"


class Endpoints(StatusModel):
    """Where the API answers."""

    public: Line | None = Field(None, description="URL through the gateway.")
    internal: Line | None = Field(None, description="URL inside the cluster.")


class DatabaseStatus(StatusModel):
    """The database as last seen."""

    name: Short | None = Field(None, description="Name of the database.")
    object_id: int | None = Field(
        None,
        ge=0,
        description="Object id of the database on its server. A recreated database has another one.",
    )
    server_version: Short | None = Field(None, description="Version of the server.")
    schema_revision: Short | None = Field(None, description="Migration that the schema is at.")
    target_revision: Short | None = Field(None, description="Migration that the schema should be at.")
    active_user: Short | None = Field(None, description="Role that the API logs in with.")
    rotated_at: datetime | None = Field(None, description="When the credentials were last replaced.")


class CertificateStatus(StatusModel):
    """The certificate as last seen."""

    secret_name: Short | None = Field(None, description="Secret that holds the certificate and its key.")
    not_after: datetime | None = Field(None, description="End of its validity.")
    renewal_time: datetime | None = Field(None, description="When it will be renewed.")


class InventoryEntry(StatusModel):
    """Something the operator created, inside Kubernetes or outside."""

    id: Line = Field(description="What and where, unique in the inventory.")
    component: Short = Field(description="Part of the environment that it belongs to.")


class PlannedAction(StatusModel):
    """A change the operator would make."""

    component: Short = Field(description="Part of the environment that it belongs to.")
    verb: Verb = Field(description="What is done to the target.")
    target: Line = Field(description="What is changed.")
    summary: Line = Field("", description="What changes about it; never a secret.")
    destructive: bool = Field(False, description="Whether data is destroyed.")


class Plan(StatusModel):
    """The changes that would make the world equal to the spec."""

    generation: int = Field(ge=0, description="Generation of the spec that the plan is for.")
    actions: tuple[PlannedAction, ...] = Field(
        (),
        max_length=PLAN_LIMIT,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="The changes in the order they would be made; at most 100.",
    )
    omitted: int = Field(0, ge=0, description="Number of changes beyond those listed.")


class Drift(StatusModel):
    """A difference that somebody else made."""

    component: Short = Field(description="Part of the environment that it belongs to.")
    target: Line = Field(description="What was changed.")
    summary: Line = Field(description="What was changed about it; never a secret.")
    detected_at: datetime = Field(description="When it was found.")


class Gate(StatusModel):
    """The verdict of one quality gate and its evidence."""

    name: GateName = Field(description="Name of the gate.")
    category: GateCategory = Field(description="What the gate is about.")
    result: GateResult = Field(description="Verdict; only Pass and Waived count as passed.")
    observed: Short | None = Field(None, description="Measured value with its unit, such as `p95 38 ms, n=40`.")
    threshold: Short | None = Field(None, description="Threshold with its unit, such as `<= 200 ms`.")
    reason: Short | None = Field(None, description="Why, as one word for programs.")
    message: Annotated[str, Text("write a message", max_length=4096, min_length=0)] | None = Field(
        None, description="Why, for people."
    )
    recent: tuple[int, ...] = Field(
        (),
        max_length=RECENT_LIMIT,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="The last measured values, oldest first, in the unit of `observed`; at most 20.",
    )
    evidence_of: Line | None = Field(
        None, description="What was measured: generation, image and schema revision. Evidence of another is outdated."
    )
    measured_at: datetime | None = Field(None, description="When the evidence was gathered.")
    valid_until: datetime | None = Field(None, description="When the evidence becomes too old to count.")
    waived_until: datetime | None = Field(None, description="When the waiver ends.")


class Status(StatusModel):
    """The state of the environment as the operator last saw it."""

    observed_generation: int = Field(
        -1, ge=-1, description="Generation of the spec that was last processed; -1 before the first time."
    )
    ready_generation: int | None = Field(
        None, ge=0, description="Generation of the spec that was last ready: what is recreated since then was lost."
    )
    operator_version: Short | None = Field(None, description="Version of the operator that wrote the status.")
    conditions: Annotated[tuple[Condition, ...], Keyed("type", 32)] = Field(
        (), description="Conditions; `Ready` sums them up."
    )
    namespace: Short | None = Field(None, description="Name of the namespace.")
    endpoints: Endpoints | None = Field(None, description="Where the API answers.")
    database: DatabaseStatus | None = Field(None, description="The database as last seen.")
    certificate: CertificateStatus | None = Field(None, description="The certificate as last seen.")
    inventory: Annotated[tuple[InventoryEntry, ...], Keyed("id", 1000)] = Field(
        (), description="Everything the operator created, inside Kubernetes and outside."
    )
    plan: Plan | None = Field(None, description="The changes that would be made, in mode Plan.")
    drift: tuple[Drift, ...] = Field(
        (),
        max_length=PLAN_LIMIT,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="The last differences that somebody else made: repaired, or in mode Plan found.",
    )
    gates: Annotated[tuple[Gate, ...], Keyed("name", 64)] = Field((), description="Verdicts of the quality gates.")
    gate_summary: Short | None = Field(None, description="Passed or waived gates of all, such as `18/20`.")
    last_handled_reconcile_at: Line | None = Field(
        None,
        description="Value of the annotation `biospark.ai/reconcile-requested-at` that was last accepted.",
    )
