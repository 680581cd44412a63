"""The table of settings in the documentation says what the model says."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from biospark_api.settings import Settings, variable

PAGE = Path(__file__).parents[3] / "docs" / "api-service.md"
ROW = re.compile(r"^\| `(BIOSPARK_\w+)` \| (.*?) \| (.+) \|$", re.MULTILINE)
ROWS = {name: (default, meaning) for name, default, meaning in ROW.findall(PAGE.read_text())}


def test_every_setting_has_its_row_in_the_order_of_the_model() -> None:
    assert list(ROWS) == [variable(name) for name in Settings.model_fields]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_row_says_default_and_meaning_of_the_setting(name: str) -> None:
    field = Settings.model_fields[name]
    default, meaning = ROWS[variable(name)]
    expected = (
        "none"
        if field.default in (None, "")
        else f"`{field.default:g}`"
        if isinstance(field.default, float)
        else f"`{field.default}`"
    )
    assert not isinstance(field.default, SecretStr), "a secret has no default"
    assert default == expected
    assert meaning == field.description
