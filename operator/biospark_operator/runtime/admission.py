"""Reads a resource into an environment, or says why it can't be worked on. Pure.

The API server has checked most of this by the CRD's rules already; it is checked again because the CRD may
have been older when the resource was stored. What a component refuses is said by the component (`refuse`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biospark_operator.api.platform import Platform, reserved_namespace
from biospark_operator.api.v1alpha1.effective import effective, missing_setting, namespace_name
from biospark_operator.api.v1alpha1.environment import ABANDON_SERVERS, TAKE_OVER_FROM
from biospark_operator.api.v1alpha1.limit_rules import exceeded
from biospark_operator.api.v1alpha1.profiles import PROFILES
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import DeletionPolicy, Profile
from biospark_operator.api.v1alpha1.unsupported import unsupported_fields
from biospark_operator.api.v1alpha1.validation import InvalidSpec, parse_environment
from biospark_operator.engine.component import Environment, Identity
from biospark_operator.engine.outcome import Blocked
from biospark_operator.engine.passes import Admission


def admission(platform: Platform, operator_namespace: str) -> Admission:
    """Return the admission of an operator with these platform settings that runs in this namespace."""
    reserved = platform.network.namespaces()

    def admit(body: Mapping[str, Any]) -> Environment | Blocked:
        try:
            # The status is ours and is read elsewhere: one that a newer version wrote must not refuse the spec.
            resource = parse_environment({key: value for key, value in body.items() if key != "status"})
        except InvalidSpec as error:
            return Blocked(Reason.INVALID_SPEC, str(error))
        if unsupported := unsupported_fields(resource.spec):
            return Blocked(Reason.UNSUPPORTED_FEATURE, "; ".join(str(field) for field in unsupported))
        if beyond := exceeded(resource.spec, platform.limits, operator_namespace):
            return Blocked(Reason.LIMIT_EXCEEDED, "; ".join(str(issue) for issue in beyond))
        # Before anything is written: what stands in the inventory is taken down with the environment.
        if refusal := reserved_namespace(namespace_name(resource), operator_namespace, reserved):
            return Blocked(Reason.NAMESPACE_REFUSED, refusal)
        if missing := missing_setting(resource.spec, platform):
            return Blocked(Reason.PLATFORM_SETTING_MISSING, missing)
        annotations = body["metadata"].get("annotations") or {}
        status = body.get("status") or {}
        spec = effective(resource, platform)
        return Environment(identity_of(body), body["metadata"]["generation"], spec, annotations, status)

    return admit


def identity_of(body: Mapping[str, Any]) -> Identity:
    """Say which environment a resource is, and how it may be deleted, from the raw specification.

    Deletion must also work, and be refused, when the rest of the specification is one that can't be worked on.
    Where it does not say whether it is protected and its profile is unknown, it is.
    """
    metadata, spec = body["metadata"], body.get("spec") or {}
    annotations = metadata.get("annotations") or {}
    profiles = {profile.value: PROFILES[profile].deletion_protection for profile in Profile}
    return Identity(
        metadata["name"],
        metadata["uid"],
        retain=spec.get("deletionPolicy") != DeletionPolicy.DELETE,
        protected=bool(spec.get("deletionProtection", profiles.get(spec.get("profile", ""), True))),
        deleting="deletionTimestamp" in metadata,
        predecessor=annotations.get(TAKE_OVER_FROM) or None,
        abandoned=frozenset(filter(None, map(str.strip, annotations.get(ABANDON_SERVERS, "").split(",")))),
    )
