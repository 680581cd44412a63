"""`spec.access` and `spec.registry`: who may use the environment, and with what its images are pulled."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from biospark_operator.api.v1alpha1.constraints import Keyed, Text, Unique
from biospark_operator.api.v1alpha1.formats import DnsLabel, WholeSecretReference
from biospark_operator.api.v1alpha1.model import Model, Rule

SubjectName = Annotated[str, Text("write a name of at most 253 characters", max_length=253)]


class AccessRole(StrEnum):
    """What a subject may do in the namespace."""

    VIEWER = "Viewer"
    DEVELOPER = "Developer"
    ADMIN = "Admin"


class SubjectKind(StrEnum):
    """Whom a role is given to."""

    USER = "User"
    GROUP = "Group"
    SERVICE_ACCOUNT = "ServiceAccount"


class Subject(Model):
    """A user, a group or a service account."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "namespace",
            "write the namespace of a ServiceAccount, and none for a User or Group",
            cel="(self.kind == 'ServiceAccount') == has(self.__namespace__)",
            holds=lambda s: (s.kind is SubjectKind.SERVICE_ACCOUNT) == (s.namespace is not None),
        ),
    )

    kind: SubjectKind = Field(description="Kind of the subject.")
    name: SubjectName = Field(description="Name of the user, group or service account, as the cluster knows it.")
    namespace: DnsLabel | None = Field(
        None,
        description="Namespace of the service account. Required for a ServiceAccount, refused otherwise.",
    )


class AccessBinding(Model):
    """One role and everyone who has it."""

    role: AccessRole = Field(
        description="Viewer reads everything but Secrets; Developer also changes workloads, not access rights or "
        "quotas; Admin changes everything in the namespace but its quota and network policies."
    )
    subjects: Annotated[tuple[Subject, ...], Unique(64, min_items=1)] = Field(description="Who has the role.")


class Access(Model):
    """Access of people and machines to the namespace."""

    bindings: Annotated[tuple[AccessBinding, ...], Keyed("role", 3)] = Field(
        (),
        description="Subjects by role; each role at most once. Default: nobody but cluster administrators.",
    )


class Registry(Model):
    """Credentials for the image registry."""

    pull_secret_ref: WholeSecretReference | None = Field(
        None,
        description="Secret of type `kubernetes.io/dockerconfigjson` in the operator's namespace. Its annotation "
        "`biospark.ai/environments` has to list the environment, or `*` for all. It is copied to the environment, set "
        "on its service accounts, and followed when it changes. Default: none.",
    )
