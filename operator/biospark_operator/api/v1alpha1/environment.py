"""The resource as a whole: `BioSparkEnvironment`."""

import re
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from biospark_operator.api.v1alpha1.model import Model, Rule
from biospark_operator.api.v1alpha1.spec import Spec
from biospark_operator.api.v1alpha1.status import Status

GROUP = "biospark.ai"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "BioSparkEnvironment"
PLURAL = "biosparkenvironments"
SINGULAR = "biosparkenvironment"
SHORT_NAME = "bse"
CATEGORY = "biospark"

RECONCILE_REQUESTED_AT = f"{GROUP}/reconcile-requested-at"
"""Annotation: any new value asks for a pass now."""

ROTATE_REQUESTED_AT = f"{GROUP}/rotate-requested-at"
"""Annotation: any new value asks for new credentials of the database."""

ALLOW_EMPTY_DATABASE = f"{GROUP}/allow-empty-database"
"""Annotation: which lost database an empty one may take the place of, as the condition names it."""

TAKE_OVER_FROM = f"{GROUP}/take-over-from"
"""Annotation: the uid of a gone environment of the same name, whose things this one takes over."""

ABANDON_SERVERS = f"{GROUP}/abandon-servers"
"""Annotation: servers, as `host:port` with commas between, that are gone for good: deletion does not wait for them."""

FINALIZER = f"{GROUP}/finalizer"
"""Keeps the resource until everything that was made for it is gone."""

NAME_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
MAX_NAME_LENGTH = 63 - len("biospark-")


class Metadata(Model):
    """The part of the object's metadata that the operator reads."""

    model_config = ConfigDict(extra="ignore")

    name: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class BioSparkEnvironment(Model):
    """One environment of BioSpark Health AI: everything it is made of, and proof that it works."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "metadata.name",
            f"choose a name of at most {MAX_NAME_LENGTH} lower-case letters, digits and hyphens that begins "
            f"and ends "
            "with a letter or digit, so that biospark-<name> is a valid namespace",
            cel=f"self.metadata.name.size() <= {MAX_NAME_LENGTH} && self.metadata.name.matches('{NAME_PATTERN}')",
            holds=lambda e: (
                len(e.metadata.name) <= MAX_NAME_LENGTH and bool(re.fullmatch(NAME_PATTERN, e.metadata.name))
            ),
        ),
    )

    api_version: Literal["biospark.ai/v1alpha1"] = "biospark.ai/v1alpha1"
    kind: Literal["BioSparkEnvironment"] = "BioSparkEnvironment"
    metadata: Metadata
    spec: Spec = Field(description="The wanted state of the environment.")
    status: Status = Field(
        default_factory=Status, description="The state of the environment as the operator last saw it."
    )
