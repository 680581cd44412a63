"""The SQL of the documentation does what it says, word by word but for the names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from biospark_operator.engine.outcome import Blocked, Ready
from tests.integration.database.operated import Operated

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[3] / "docs" / "database.md").read_text(encoding="utf-8")


def documented(heading: str, operated: Operated, database: str) -> str:
    """Return the SQL below a heading, with the database of the test in place of that of the page."""
    _, _, rest = PAGE.partition(f"# {heading}\n")
    found = re.search(r"```sql\n(.*?)```", rest, re.DOTALL)
    assert found, heading
    assert "\n#" not in rest[: found.start()], "the SQL belongs to another heading"
    return re.sub(rf"\b{database}(?=\b|_)", operated.database, found[1])


async def test_a_database_is_offered_as_documented(operated: Operated) -> None:
    operated.by_hand("CREATE DATABASE {database}")
    operated.by_hand(f'ALTER DATABASE {{database}} OWNER TO "{operated.site.admin}"')
    operated.spec = {"adoptionPolicy": "IfUnowned"}
    assert isinstance((await operated.run()).outcome, Blocked)
    operated.site.sql(documented("Adopt a database", operated, "legacy"))
    assert isinstance((await operated.run()).outcome, Ready)
    comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
    assert str(operated.site.scalar(comment, operated.database)).startswith("Laboratory, since 2019\n")


async def test_a_retained_database_is_handed_over_as_documented(operated: Operated) -> None:
    await operated.run()
    operated.as_owner("CREATE TABLE t (id int)")
    operated.as_app("INSERT INTO t VALUES (7)")
    await operated.removed(retain=True)
    following = Operated(operated.site, operated.servers, operated.database, environment_name="next")
    following.spec = {"adoptionPolicy": "IfUnowned"}
    assert isinstance((await following.run()).outcome, Blocked)
    text = documented("Hand a retained database to another environment", operated, "biospark_dev")
    operated.site.sql(text, user=operated.site.admin, password=operated.site.password)
    assert isinstance((await following.run()).outcome, Ready)
    assert following.as_app("SELECT * FROM t") == [(7,)]
    earlier = Operated(operated.site, operated.servers, operated.database)
    earlier.spec = {"adoptionPolicy": "IfUnowned"}
    assert isinstance((await earlier.run()).outcome, Blocked)
