"""All components of this version, over a cluster that has nothing: for what they say without looking at anything."""

from __future__ import annotations

from biospark_operator.api.platform import Platform
from biospark_operator.components import catalog
from tests.fakes.cluster import FakeCluster

COMPONENTS = catalog.components(FakeCluster(), Platform(), operator_namespace="biospark-system")
