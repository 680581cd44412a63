"""`spec.namespace`: the namespace of the environment, its quota, and its Pod Security level."""

import re
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from biospark_operator.api.v1alpha1.constraints import quoted
from biospark_operator.api.v1alpha1.formats import LABEL_KEY_PATTERN, DnsLabel, Labels
from biospark_operator.api.v1alpha1.model import Model, Rule
from biospark_operator.api.v1alpha1.quantities import Quantity

RESERVED_LABEL_DOMAINS = ("biospark.ai/", "kubernetes.io/", "app.kubernetes.io/", "pod-security.kubernetes.io/")


class PodSecurity(StrEnum):
    """A level of the Pod Security Standards."""

    PRIVILEGED = "Privileged"
    BASELINE = "Baseline"
    RESTRICTED = "Restricted"


class Quota(Model):
    """Upper bounds for everything that runs in the namespace; what is absent comes from the profile."""

    cpu: Quantity | None = Field(
        None, description="Cores that all pods together may be limited to, such as `4`. Default by profile."
    )
    memory: Quantity | None = Field(
        None,
        description="Memory that all pods together may be limited to, such as `8Gi`. Default by profile.",
    )
    pods: int | None = Field(None, ge=1, le=10000, description="Number of pods. Default by profile.")
    storage: Quantity | None = Field(
        None,
        description="Storage that all volume claims together may request, such as `20Gi`. Default by profile.",
    )


def _labels_are_the_users(namespace: "Namespace") -> bool:
    return not any(key.startswith(RESERVED_LABEL_DOMAINS) for key in namespace.labels)


def _label_keys_are_valid(namespace: "Namespace") -> bool:
    return all(len(key) <= 317 and re.fullmatch(LABEL_KEY_PATTERN, key) for key in namespace.labels)


_RESERVED_CEL = " || ".join(f"k.startsWith({quoted(domain)})" for domain in RESERVED_LABEL_DOMAINS)


class Namespace(Model):
    """The namespace that holds everything of the environment."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "name",
            "choose another name: default and everything that begins with kube- belong to Kubernetes",
            cel="!has(self.name) || (self.name != 'default' && !self.name.startsWith('kube-'))",
            holds=lambda s: s.name is None or (s.name != "default" and not s.name.startswith("kube-")),
        ),
        Rule(
            "labels",
            "write label keys such as team or example.com/team: an optional DNS prefix and at most 63 letters, "
            "digits, dots, hyphens and underscores",
            cel=f"!has(self.labels) || self.labels.all(k, k.size() <= 317 && k.matches({quoted(LABEL_KEY_PATTERN)}))",
            holds=_label_keys_are_valid,
        ),
        Rule(
            "labels",
            "remove the labels that the operator sets itself: those under biospark.ai/, kubernetes.io/, "
            "app.kubernetes.io/ and pod-security.kubernetes.io/",
            cel=f"!has(self.labels) || self.labels.all(k, !({_RESERVED_CEL}))",
            holds=_labels_are_the_users,
        ),
    )

    name: DnsLabel | None = Field(
        None,
        description="Name of the namespace. Default `biospark-<metadata.name>`. Must be unique over all "
        "environments. Immutable, and can't be added or removed after creation. `default`, `kube-*` and the "
        "operator's own namespace are refused.",
    )
    labels: Labels = Field(
        default_factory=dict,
        description="Additional labels of the namespace. Labels that the operator sets itself are refused.",
    )
    pod_security: PodSecurity | None = Field(
        None,
        description="Pod Security Standard that the namespace enforces, audits and warns about. Default by profile.",
    )
    quota: Quota = Field(
        default_factory=Quota,
        description="Bounds of the namespace, installed as a ResourceQuota and a LimitRange. Default by profile.",
    )
