"""The example of the operator's Helm values is taken by the chart's schema and by the operator itself."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import yaml

from biospark_operator.api.platform import Platform

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "biospark-operator"
VALUES = yaml.safe_load((ROOT / "examples" / "operator-values.yaml").read_text(encoding="utf-8"))


def test_the_schema_of_the_chart_takes_them() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(defaults | {**VALUES, "image": defaults["image"] | VALUES["image"]}, schema)


def test_the_operator_takes_the_platform_and_knows_the_image_of_the_api() -> None:
    assert Platform.model_validate(VALUES["platform"]).api_image is not None


def test_the_image_of_the_api_is_that_of_the_chart_s_version() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    assert VALUES["platform"]["apiImage"].endswith(f":{version}")
