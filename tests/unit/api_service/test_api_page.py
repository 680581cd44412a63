"""The page for developers who use the API says what the service does."""

import re
from pathlib import Path

from biospark_api.security.permissions import PERMISSIONS, Permission, Role

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def test_table_of_permissions_is_the_one_of_the_service() -> None:
    table = PAGE.partition("## What each role may do")[2].partition("\n## ")[0]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*", table, re.M)
    ]
    assert head == ["permission", *(role.value for role in Role)]
    assert rows == [
        [permission.value, *("yes" if permission in PERMISSIONS[role] else "" for role in Role)]
        for permission in Permission
    ]
