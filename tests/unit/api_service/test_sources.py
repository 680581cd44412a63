"""Secrets as they change under a running service."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from biospark_api.settings import Settings
from biospark_api.sources import Credentials, CredentialsOf, File, SourceError, secrets_of, watch


@dataclass
class Told:
    """A source that answers with what a test wants next."""

    values: Iterator[str]

    async def read(self) -> str:
        value = next(self.values)
        if value == "broken":
            raise SourceError("cannot be read")
        return value


async def test_credentials_that_are_exchanged_between_two_looks_are_never_mixed() -> None:
    source = CredentialsOf(Told(iter(["old", "new", "new"])), Told(iter(["old-password", "new-password"])))
    assert await source.read() == Credentials("new", "new-password")


def test_nothing_secret_is_shown() -> None:
    assert "hunter2" not in repr(Credentials("api", "hunter2"))


async def test_files_are_read_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("api\n")
    (tmp_path / "password").write_text("first")
    files = {f"BIOSPARK_DATABASE_{name.upper()}_FILE": str(tmp_path / name) for name in ("user", "password")}
    source = secrets_of(Settings(), files).database
    assert await source.read() == Credentials("api", "first")
    (tmp_path / "password").write_text("second")
    assert await source.read() == Credentials("api", "second")
    (tmp_path / "password").unlink()
    with pytest.raises(SourceError, match="password cannot be read: FileNotFoundError"):
        await source.read()


async def test_file_that_is_no_text_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"hunter2\xff")
    with pytest.raises(SourceError) as raised:
        await File(tmp_path / "key").read()
    assert "hunter2" not in str(raised.value)


async def test_change_is_told_until_it_is_used_and_a_broken_source_is_no_change() -> None:
    tried: list[str] = []

    async def changed(value: str) -> None:
        tried.append(value)
        if len(tried) == 1:
            raise ValueError("not now")

    with pytest.raises((StopIteration, RuntimeError)):
        await watch(Told(iter(["a", "broken", "a", "b", "b", "b", "c"])), 0, changed)
    assert tried == ["b", "b", "c"]
