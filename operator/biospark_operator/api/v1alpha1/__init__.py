"""Version v1alpha1 of the resource; see `environment` for the root and `spec` for what users write."""

from biospark_operator.api.v1alpha1.conditions import Condition, ConditionStatus, ConditionType
from biospark_operator.api.v1alpha1.environment import BioSparkEnvironment
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import Spec
from biospark_operator.api.v1alpha1.status import Status
from biospark_operator.api.v1alpha1.validation import InvalidSpec, SpecIssue, parse_environment

__all__ = [
    "BioSparkEnvironment",
    "Condition",
    "ConditionStatus",
    "ConditionType",
    "InvalidSpec",
    "Reason",
    "Spec",
    "SpecIssue",
    "Status",
    "parse_environment",
]
