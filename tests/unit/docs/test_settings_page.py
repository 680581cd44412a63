"""The page of the settings is the generated one, and what it says is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from biospark_operator.runtime import pages
from biospark_operator.runtime.settings import OperatorSettings

PAGE = Path(__file__).parents[3] / "docs" / "reference" / pages.PAGE

#: A value that is not the default, as written in an environment variable, by the type of the setting.
SAMPLES = {"string": "sample-1", "boolean": "false", "integer": "42"}


def test_the_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == pages.page(), "run `make crd`"


def test_the_page_is_written_into_a_folder_that_may_be_missing(tmp_path: Path) -> None:
    pages.write(tmp_path / "new")
    assert (tmp_path / "new" / pages.PAGE).read_text(encoding="utf-8") == pages.page()


def test_the_page_does_not_depend_on_the_settings_of_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSPARK_OPERATOR_PASSES", "7")
    assert PAGE.read_text(encoding="utf-8") == pages.page()


def test_every_setting_is_in_one_row_with_its_description() -> None:
    page = pages.page()
    for setting in pages.settings():
        assert page.count(f"| `{setting.path}` |") == 1
        assert setting.schema["description"].endswith(".")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("podName", "BIOSPARK_OPERATOR_POD_NAME"),
        ("platform.apiImage", "BIOSPARK_OPERATOR_PLATFORM__API_IMAGE"),
        ("platform.network.dns.podLabels", "BIOSPARK_OPERATOR_PLATFORM__NETWORK__DNS__POD_LABELS"),
        ("platform.network.vault[].cidr", ""),
    ],
)
def test_a_part_of_a_list_has_no_variable(key: str, name: str) -> None:
    assert pages.variable(key) == name


SCALARS = [
    (setting.path, sample)
    for setting in pages.settings()
    if (sample := SAMPLES.get(setting.schema.get("type", "")))
    and "enum" not in setting.schema
    and "format" not in setting.schema
    and pages.variable(setting.path)
]


@pytest.mark.parametrize(("key", "sample"), SCALARS)
def test_the_variable_sets_what_the_key_names(key: str, sample: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for required in ("gateway", "prometheus", "dns"):
        monkeypatch.setenv(pages.variable(f"platform.network.{required}.namespace"), "other")
    for required in ("host", "adminSecretRef.name", "caSecretRef.name"):
        monkeypatch.setenv(pages.variable(f"platform.database.{required}"), "other")
    monkeypatch.setenv(pages.variable(key), sample)
    value = OperatorSettings().model_dump(mode="json", by_alias=True)
    for part in key.split("."):
        value = value[part]
    assert str(value).lower() == sample
