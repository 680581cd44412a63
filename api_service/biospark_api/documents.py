"""Reads JSON so that nothing of it changes on the way to the database. Used by `calls` for every body.

A number is kept as the text that was sent: as a float, `5.10` would come back as `5.1`, and in FHIR the precision of
a decimal is part of its value. PostgreSQL's jsonb keeps the digits as well, but writes exponents out and has no
negative zero, so a number that it would give back with other digits is refused.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

MAX_DEPTH = 32
"""Deepest nesting of JSON that is stored."""
MAX_DIGITS = 1000
"""Longest number that is stored, in characters, once an exponent is written out."""
_MAX_ADDED = 65_536
"""Characters by which exponents, written out, may make one document longer: `1e-999` is six and becomes a thousand."""

Path = tuple[str | int, ...]
"""Names and positions that lead from a body to a value in it."""

_EXACT_DIGITS = 18
_NUMBER = re.compile(r"-?(?P<whole>\d+)(?:\.(?P<part>\d+))?(?:[eE](?P<exponent>[+-]?\d+))?")


class InvalidJsonError(ValueError):
    """A body, or a document in one, cannot be taken; `path` leads to the fault, the message says what is expected."""

    def __init__(self, detail: str, path: Path = ()) -> None:
        super().__init__(detail)
        self.path = path


class _DoubledError(Exception):
    """A member is there twice; where, only another look tells."""


class _Members(list[tuple[str, Any]]):
    """An object as it was written."""


def read(body: bytes) -> Any:
    """The value of a JSON text, with its numbers as `msgspec.Raw` unless they are small integers.

    Raises `InvalidJsonError`. Of two members with one name a parser takes the last, and nobody notices.
    """
    try:
        text = body.decode()
        return _DECODER.decode(text)
    except _DoubledError:
        path = _doubled(_AS_WRITTEN.decode(text))
        raise InvalidJsonError("Input should have each member once", path) from None
    except RecursionError:
        raise InvalidJsonError(f"The body should be nested at most {MAX_DEPTH} levels deep") from None
    except ValueError:  # also UnicodeDecodeError
        raise InvalidJsonError("The body should be valid JSON") from None


def check(document: Mapping[str, Any]) -> None:
    """Raise `InvalidJsonError` for what PostgreSQL would refuse, or give back otherwise than it was sent."""
    _check(document, 1, [0])


def _check(container: Mapping[str, Any] | Sequence[Any], depth: int, added: list[int]) -> None:
    if depth > MAX_DEPTH:
        raise InvalidJsonError(f"Input should be nested at most {MAX_DEPTH} levels deep")
    if isinstance(container, Mapping):
        for member in container:
            _check_text(member)
    for name, item in _entries(container):
        try:
            match item:
                case str():
                    _check_text(item)
                case dict() | list():
                    _check(item, depth + 1, added)
                case msgspec.Raw():
                    _check_number(str(item, "ascii"), added)
        except InvalidJsonError as error:
            error.path = (name, *error.path)
            raise


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise InvalidJsonError("Input should not contain NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidJsonError("Input should be valid Unicode, without single surrogates") from None


def _check_number(text: str, added: list[int]) -> None:
    number = _NUMBER.fullmatch(text)
    assert number is not None  # noqa: S101 - the parser read it as one
    whole, part = number["whole"], number["part"] or ""
    if text.startswith("-") and not (whole + part).strip("0"):
        raise InvalidJsonError("Input should not be a negative zero; write it without the sign")
    if len(text) > MAX_DIGITS:
        raise InvalidJsonError(f"Input should be a number of at most {MAX_DIGITS} characters")
    if number["exponent"] is None:
        return
    places = len(part) - int(number["exponent"])
    if places < 0:
        raise InvalidJsonError("Input should be a number without an exponent that adds digits to it; write it out")
    added[0] += places
    if places > MAX_DIGITS or added[0] > _MAX_ADDED:
        raise InvalidJsonError(f"Input should have numbers of at most {MAX_DIGITS} digits when they are written out")


def _entries(container: Mapping[str, Any] | Sequence[Any]) -> Iterator[tuple[str | int, Any]]:
    yield from container.items() if isinstance(container, Mapping) else enumerate(container)


def _doubled(value: Any) -> Path:
    """Where the first member is that is there twice."""
    if isinstance(value, _Members):
        seen = set()
        for name, item in value:
            if name in seen:
                return (name,)
            seen.add(name)
            if found := _doubled(item):
                return (name, *found)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            if found := _doubled(item):
                return (position, *found)
    return ()


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(members)
    if len(made) != len(members):
        raise _DoubledError
    return made


def _integer(text: str) -> int | msgspec.Raw:
    return int(text) if len(text) <= _EXACT_DIGITS and text != "-0" else msgspec.Raw(text)


def _constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity, which are no JSON


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_float=msgspec.Raw, parse_int=_integer, parse_constant=_constant
)
_AS_WRITTEN = json.JSONDecoder(object_pairs_hook=_Members, parse_float=str, parse_int=str, parse_constant=_constant)
