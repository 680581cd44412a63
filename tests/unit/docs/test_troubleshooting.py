"""The page for those in trouble covers every reason that the operator can give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from biospark_operator.api.v1alpha1.reasons import Reason

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "operator" / "biospark_operator").rglob("*.py"))
GIVEN = sorted({name for path in SOURCES for name in re.findall(r"\bReason\.([A-Z_]+)\b", path.read_text("utf-8"))})


def test_the_sources_are_found() -> None:
    assert {"SUCCEEDED", "NOT_OWNED", "CRASH_LOOPING", "DELETION_PROTECTED"} <= set(GIVEN)


@pytest.mark.parametrize("name", GIVEN)
def test_every_reason_that_the_operator_gives_is_covered(name: str) -> None:
    assert f"`{Reason[name].value}`" in PAGE


def test_no_reason_is_covered_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", PAGE, flags=re.MULTILINE)
    elsewhere = {"ImagePullBackOff", "NamespaceDeletionDiscoveryFailure"}
    assert set(rows) - elsewhere <= {reason.value for reason in Reason}
