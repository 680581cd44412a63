"""A disk that is full, on a real one that is small."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.engine.outcome import Failed, Ready
from tests.integration.database.operated import Operated

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk"),
]


@pytest.fixture
def small_disk(tmp_path: Path, mighty: Operated) -> Iterator[str]:
    """A tablespace with room for a database and little more."""
    place, name = tmp_path / "disk", f"{mighty.site.name}_disk"
    place.mkdir()
    owner = pwd.getpwuid(mighty.site.server.log.parent.stat().st_uid)
    for parent in place.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(parent.stat().st_mode | 0o005)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True)
    try:
        os.chown(place, owner.pw_uid, owner.pw_gid)
        mighty.site.sql(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        yield name
        mighty.site.sql(f"DROP DATABASE {mighty.database} WITH (FORCE)")
        mighty.site.sql(f"DROP TABLESPACE {name}")
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _fill(operated: Operated) -> None:
    for _ in range(1000):
        operated.as_owner("INSERT INTO filler SELECT repeat('x', 100) FROM generate_series(1, 2000)")


async def test_a_migration_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    mighty: Operated, small_disk: str
) -> None:
    mighty.wishes = {"migrations": {"target": "0001"}}
    await mighty.migrated()
    await mighty.servers.close()
    mighty.site.sql(f"ALTER DATABASE {mighty.database} SET TABLESPACE {small_disk}")
    mighty.as_owner("CREATE TABLE filler (line text)")
    with pytest.raises(psycopg.errors.DiskFull):
        _fill(mighty)
    mighty.wishes = {}
    report = await mighty.migrated()
    assert isinstance(report.outcome, Failed), report.outcome
    assert report.outcome.reason == Reason.MIGRATION_FAILED
    assert "the disk of the server is full" in report.outcome.message
    mighty.as_owner("DROP TABLE filler")
    assert isinstance((await mighty.migrated()).outcome, Ready)
