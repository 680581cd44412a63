"""Conditions: the answer to "is it ready, and if not, why".

`ConditionType` lists them all with their meaning; the reference page is generated from it. `Condition` is one
entry of `status.conditions`, in the form that `kubectl wait`, Flux and Argo CD read.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from biospark_operator.api.v1alpha1.constraints import Text
from biospark_operator.api.v1alpha1.model import Model


class ConditionType(StrEnum):
    """Every condition type: `NAME = (value, meaning)`."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> "ConditionType":
        """A string that also carries its documentation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    READY = ("Ready", "Every enabled part of the environment is ready at this generation. Always present.")
    RECONCILING = (
        "Reconciling",
        "The operator is at work or will try again by itself. Present only while true.",
    )
    STALLED = ("Stalled", "The operator can't go on without a human. Present only while true.")
    SUSPENDED = ("Suspended", "`spec.suspend` is true. Present only while true.")
    QUALITY_GATES_PASSED = ("QualityGatesPassed", "Every quality gate is passed or waived.")
    PROMOTION_READY = ("PromotionReady", "No quality gate stands in the way of the next environment.")
    NAMESPACE_READY = ("NamespaceReady", "The namespace, its quota and its limits are there.")
    ACCESS_READY = ("AccessReady", "Roles and their bindings are there.")
    REGISTRY_READY = ("RegistryReady", "The image pull secret is there and current.")
    NETWORK_READY = ("NetworkReady", "The network policies are there.")
    MESH_READY = ("MeshReady", "The service mesh resources are there.")
    DATABASE_READY = ("DatabaseReady", "The database and its roles are there and answer.")
    SCHEMA_READY = ("SchemaReady", "The schema is at the wanted migration.")
    SECRETS_READY = ("SecretsReady", "The secrets of the API are there: signing key, first administrator's password.")
    CERTIFICATE_READY = ("CertificateReady", "The certificate is issued and valid.")
    GATEWAY_READY = ("GatewayReady", "The gateway sends requests to the API.")
    WORKLOAD_READY = ("WorkloadReady", "The API runs with all its replicas.")
    MONITORING_READY = ("MonitoringReady", "Metrics and alerts are installed.")
    LOGGING_READY = ("LoggingReady", "Logs are collected.")


class ConditionStatus(StrEnum):
    """Status of a condition; Unknown while it has not been determined."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One condition of the environment."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[str, Text("write a condition type", max_length=316)] = Field(
        description="Type of the condition; each occurs once."
    )
    status: ConditionStatus = Field(description="True, False or Unknown.")
    observed_generation: int | None = Field(
        None, ge=0, description="Generation of the spec that the condition was determined for."
    )
    last_transition_time: datetime = Field(description="When the status last changed.")
    reason: Annotated[
        str, Text("write a reason", pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)
    ] = Field(description="Why, as one word for programs.")
    message: Annotated[str, Text("write a message", max_length=32768, min_length=0)] = Field(
        description="Why, for people: names the object and the next step."
    )
