"""How one component hands something to the API's pods, and learns that all of them have taken it up.

What is handed over carries the moment at which it was made. Pods whose template carries another moment are replaced,
and once all of them have the new one, whatever the old ones used may go. Neither component looks at how the other
does its part: the giver asks `taken_up`, the taker applies `taken`.

The moments are where earlier versions wrote them, so that an upgrade replaces no pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components.names import API
from biospark_operator.engine.component import Environment
from biospark_operator.objects import readiness


@dataclass(frozen=True, slots=True)
class Handover:
    """Something that is handed over; `annotation` has its moment, on what is handed over and on the pods' template."""

    annotation: str

    def offered(self, given: Manifest | None) -> str | None:
        """Return the moment that what is handed over carries, or None where it says none."""
        return _annotations((given or {}).get("metadata")).get(self.annotation)

    def taken(self, deployment: Manifest, given: Manifest | None) -> Manifest:
        """Return the Deployment whose pods have taken up what is given. Without a moment it stays as it is."""
        if (moment := self.offered(given)) is None:
            return deployment
        template = deployment["spec"]["template"]
        notes = {**_annotations(template.get("metadata")), self.annotation: moment}
        metadata = {**template.get("metadata", {}), "annotations": notes}
        return {**deployment, "spec": {**deployment["spec"], "template": {**template, "metadata": metadata}}}

    def taken_up(self, deployment: Manifest | None) -> str | None:
        """Return the moment that all pods have, or None while they don't agree, and where there are none."""
        if deployment is None or readiness.unready(deployment) is not None:
            return None
        return _annotations(deployment["spec"]["template"].get("metadata")).get(self.annotation)

    def is_its_field(self, path: str) -> bool:
        """Whether a field of the Deployment, as drift names it, is one that handing over changes from time to time."""
        return path.startswith("spec.template.metadata.annotations")


#: The API's login to its database.
DATABASE_LOGIN = Handover("biospark.ai/rotated-at")


def takers(env: Environment) -> ObjectRef:
    """Return the Deployment whose pods take things up."""
    return ObjectRef("apps/v1", "Deployment", env.spec.namespace.name, API)


def _annotations(metadata: Mapping[str, Mapping[str, str]] | None) -> Mapping[str, str]:
    return (metadata or {}).get("annotations") or {}
