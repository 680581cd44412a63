"""Where secrets come from, and how a change of them is noticed. Used for the keys of tokens and the credentials.

A source is read again and again: files of a mounted Secret change under a running process. What belongs together
is one value of one source, so that nobody sees half of a change. Another place to keep secrets, such as Vault, is a
class with `read` for each of the two, which may keep what it got for as long as that is valid; `secrets_of` chooses.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import SecretStr

from biospark_api.settings import FILE_SUFFIX, Settings, variable

log = logging.getLogger(__name__)

_Value = TypeVar("_Value")
_Value_co = TypeVar("_Value_co", covariant=True)


class SourceError(Exception):
    """A secret cannot be read now; the message says why without any part of it."""


class Source(Protocol[_Value_co]):
    """Something secret."""

    async def read(self) -> _Value_co:
        """Its present value; raises `SourceError`."""
        ...


@dataclass(frozen=True)
class Credentials:
    """What the API logs in to the database with."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class TokenKeys:
    """PEM texts: the key that signs, and the public keys that are accepted too, or nothing."""

    signing: str = field(repr=False)
    others: str = field(repr=False)


@dataclass(frozen=True)
class Fixed:
    """A text that was given at start and stays."""

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
class CredentialsOf:
    """Credentials of two texts, usually files of one Secret."""

    user: Source[str]
    password: Source[str]

    async def read(self) -> Credentials:
        """Both, of the same moment."""
        return Credentials(*await _together(self.user, self.password))


@dataclass(frozen=True)
class TokenKeysOf:
    """The keys of two texts."""

    signing: Source[str]
    others: Source[str]

    async def read(self) -> TokenKeys:
        """Both, of the same moment."""
        return TokenKeys(*await _together(self.signing, self.others))


async def _together(first: Source[str], second: Source[str]) -> tuple[str, str]:
    """Read two texts that somebody may exchange between the two looks."""
    one = await first.read()
    while True:
        two = await second.read()
        if (again := await first.read()) == one:
            return one, two
        one = again


@dataclass(frozen=True)
class Secrets:
    """The secrets of the service that may change while it runs."""

    database: Source[Credentials]
    token_keys: Source[TokenKeys]


def secrets_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> Secrets:
    """Each text from the file that `BIOSPARK_<NAME>_FILE` names, else the value that the settings hold."""

    def text(name: str) -> Source[str]:
        if path := environ.get(variable(name) + FILE_SUFFIX):
            return File(Path(path))
        value = getattr(settings, name)
        return Fixed(value if isinstance(value, SecretStr) else SecretStr(value or ""))

    return Secrets(
        CredentialsOf(text("database_user"), text("database_password")),
        TokenKeysOf(text("token_key"), text("token_other_keys")),
    )


async def watch(source: Source[_Value], seconds: float, changed: Callable[[_Value], Awaitable[None]]) -> None:
    """Call `changed` with the value whenever it is another than before. Runs until cancelled.

    Looking is cheap and works for every file system, which notifications of changed symbolic links do not. What
    cannot be read or used now is tried again: `changed` is called for a value until it returns.
    """
    accepted = await _read(source)
    while True:
        await asyncio.sleep(seconds)
        value = await _read(source)
        if value is None or value == accepted:
            continue
        try:
            await changed(value)
        except Exception:
            log.exception("A changed secret cannot be used; the one before stays in use")
        else:
            accepted = value


async def _read(source: Source[_Value]) -> _Value | None:
    try:
        return await source.read()
    except SourceError as error:
        log.warning("%s", error)
        return None
