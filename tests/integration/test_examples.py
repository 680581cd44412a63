"""A real API server takes every example as it is, strictly and without a warning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"
ENVIRONMENTS = sorted(set(EXAMPLES.glob("*.yaml")) - {EXAMPLES / "operator-values.yaml"})


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_the_api_server_takes_the_example(path: Path, kubectl: Callable[..., CompletedProcess[str]]) -> None:
    done = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(path))
    assert f"biosparkenvironment.biospark.ai/{path.stem} created (server dry run)" in done.stdout
    assert done.stderr == ""
