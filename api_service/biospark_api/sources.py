"""Where secrets come from, and how a change of them is noticed. Used for the signing key and the credentials.

A source is read again and again: files of a mounted Secret change under a running process. Another place to
keep secrets, such as Vault, is one more class with `read`.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from biospark_api.settings import FILE_SUFFIX, Settings, variable

log = logging.getLogger(__name__)


class SourceError(Exception):
    """A secret cannot be read now; the message says why without any part of it."""


class Source(Protocol):
    """One secret."""

    async def read(self) -> str:
        """Its present value, without surrounding white space; raises `SourceError`."""
        ...


@dataclass(frozen=True)
class Fixed:
    """A value that was given at start and stays."""

    value: SecretStr

    async def read(self) -> str:
        """The value."""
        return self.value.get_secret_value().strip()


@dataclass(frozen=True)
class File:
    """A file, usually of a mounted Secret. Small and local, so it is read without a thread."""

    path: Path

    async def read(self) -> str:
        """The file's text."""
        try:
            return self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{self.path} cannot be read: {type(error).__name__}") from None


@dataclass(frozen=True)
class Secrets:
    """The secrets of the service that may change while it runs."""

    database_user: Source
    database_password: Source
    token_key: Source
    token_other_keys: Source


def secrets_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> Secrets:
    """Each from the file that `BIOSPARK_<NAME>_FILE` names, else the value that the settings hold."""

    def source(field: str) -> Source:
        if path := environ.get(variable(field) + FILE_SUFFIX):
            return File(Path(path))
        value = getattr(settings, field)
        return Fixed(value if isinstance(value, SecretStr) else SecretStr(value or ""))

    return Secrets(**{field: source(field) for field in Secrets.__dataclass_fields__})


async def watch(
    sources: tuple[Source, ...], seconds: float, changed: Callable[[tuple[str, ...]], Awaitable[None]]
) -> None:
    """Call `changed` with all values whenever one of them is another than before. Runs until cancelled.

    Looking is cheap and works for every file system, which notifications of changed symbolic links do not. What
    cannot be read or used now is tried again: `changed` is called for a value until it returns.
    """
    accepted = await _read(sources)
    while True:
        await asyncio.sleep(seconds)
        values = await _read(sources)
        if values is None or values == accepted:
            continue
        try:
            await changed(values)
        except Exception:
            log.exception("A changed secret cannot be used; the one before stays in use")
        else:
            accepted = values


async def _read(sources: tuple[Source, ...]) -> tuple[str, ...] | None:
    try:
        return tuple([await source.read() for source in sources])
    except SourceError as error:
        log.warning("%s", error)
        return None
