"""What the README promises is what this version does."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from biospark_api.schema import HEAD
from biospark_operator import __version__
from biospark_operator.api.v1alpha1.unsupported import MANAGED, NOT_MANAGED

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| (yes|not yet)", README, flags=re.MULTILINE)


def fields(state: str) -> set[str]:
    """The fields of the spec that the README gives a state."""
    return {field for cells, given in ROWS if given == state for field in re.findall("`([^`]+)`", cells)}


def test_the_table_says_what_is_managed_and_what_is_not() -> None:
    hint = "the table in README.md has to say the same as MANAGED and NOT_MANAGED"
    assert fields("yes") == set(MANAGED), hint
    assert fields("not yet") == set(NOT_MANAGED), hint


def test_the_environment_that_is_shown_is_the_example() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    assert yaml.safe_load(shown) == yaml.safe_load((ROOT / "examples" / "development.yaml").read_text("utf-8"))


def test_the_version_is_that_of_the_operator() -> None:
    assert f"version {__version__}" in README


def test_the_schema_that_is_shown_is_at_the_newest_migration() -> None:
    assert re.findall(r"at migration (\S+), the newest", README) == [HEAD]


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    # In code: at the start of a line or a span, perhaps after a prompt or a variable.
    command = re.compile(r"(?:^|`|\$ |^[A-Z_]+=\S+ )make ([a-z0-9-]+)", flags=re.MULTILINE)
    named = {name for page in pages for name in command.findall(page.read_text("utf-8"))}
    assert {"demo", "demo-down", "test", "crd", "cluster-up"} <= named
    assert named - targets == set()
