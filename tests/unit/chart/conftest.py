"""What the tests of the chart share: helm, built once from the pins of the local cluster."""

import pytest

from dev.cluster import programs
from tests.unit.chart.helm import Helm


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Helm applied to the operator's chart."""
    return Helm(programs.path("helm"))
