"""The types of fields that clients send, each with all of its limits. Used by the models of every domain.

What PostgreSQL would refuse is refused here, with a message that helps: NUL characters, dates and numbers out of
range, text that is too long.
"""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from biospark_api import documents

WITHIN = "within"
"""In the context of a fault of a document: the way from the field to the fault."""
PASSWORD_LENGTH = (12, 1024)
"""Shortest and longest password."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+$"
# No control characters: NUL cannot be stored, and the others only serve to confuse who reads a name.
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
_EARLIEST = date(1900, 1, 1)
_WELL_KNOWN = re.compile(
    r"(change[-_ ]?me|password|passw0rd|secret|default|example|biospark|postgres|admin|qwerty|letmein|welcome|root|user"
    r"|test|[0-9]|[^A-Za-z0-9])*",
    re.IGNORECASE,
)


class Input(BaseModel):
    """A request body. Unknown fields are refused: a misspelt one would be lost silently."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    holds_documents: ClassVar[bool]
    """Whether a field is any JSON, of which nothing may change on the way."""

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Look at the fields."""
        super().__pydantic_init_subclass__(**options)
        cls.holds_documents = any(_is_document(field.annotation) for field in cls.model_fields.values())


def _is_document(annotation: Any) -> bool:
    return get_origin(annotation) in {dict, list} or any(map(_is_document, get_args(annotation)))


class Filter(BaseModel):
    """The query string of an operation. Those of several requests may be one object."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


def absent(description: str | None = None) -> Any:
    """A field without a default: one that is not sent is not changed, and null is a value."""
    return Field(default_factory=lambda: None, description=description)


def is_weak(password: str) -> bool:
    """Whether it is too short, too long, or made of well-known words and digits only."""
    shortest, longest = PASSWORD_LENGTH
    return not shortest <= len(password) <= longest or _WELL_KNOWN.fullmatch(password) is not None


def _strong(password: str) -> str:
    if is_weak(password):
        raise PydanticCustomError("weak", "Input should not be made of well-known words and digits")
    return password


def _composed(value: object) -> object:
    """A name without spaces around it, in the one form that Unicode has for each of its letters (NFC)."""
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else value


_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(_DATE.pattern + r"[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_SPAN = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")


# Text of one form only: pydantic would take a number of seconds as well.


def _is_date(value: object) -> object:
    if not (isinstance(value, str) and _DATE.fullmatch(value)):
        raise PydanticCustomError("form", "Input should be a whole date such as 1985-12-10")
    return value


def _is_moment(value: object) -> object:
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return value
    if isinstance(value, str) and _SPAN.fullmatch(value):
        # A day has no length that holds everywhere, and a year no place among moments: only the client knows.
        raise PydanticCustomError(
            "form",
            "Input should be a moment and not a date; write where the day, month or year begins, "
            "such as 2024-01-02T00:00:00Z, and keep the date itself in `data`",
        )
    raise PydanticCustomError("form", "Input should be a moment with its offset from UTC, such as 2024-01-02T10:30:00Z")


def _lived(day: date) -> date:
    # The day has begun somewhere on Earth up to 14 hours before it does in UTC.
    if not _EARLIEST <= day <= (datetime.now(UTC) + timedelta(hours=14)).date():
        raise PydanticCustomError("range", "Input should be a date from 1900-01-01 to today")
    return day


def _happened(moment: datetime) -> datetime:
    if moment.year < _EARLIEST.year:
        raise PydanticCustomError("range", "Input should not be before 1900")
    if moment.year > 9998 or moment > datetime.now(UTC) + timedelta(days=1):  # a day, for clocks that are wrong
        raise PydanticCustomError("range", "Input should not be in the future")
    return moment.astimezone(UTC)


def _in_calendar(moment: datetime) -> datetime:
    if not _EARLIEST.year <= moment.year <= 9998:
        raise PydanticCustomError("range", "Input should be between the years 1900 and 9998")
    return moment.astimezone(UTC)


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        documents.check(value)
    except documents.InvalidJsonError as error:
        raise PydanticCustomError("document", "{detail}", {"detail": str(error), WITHIN: error.path}) from None
    return value


Name = Annotated[str, BeforeValidator(_composed), Field(min_length=1, max_length=100, pattern=_PRINTABLE)]
"""A name, kept as NFC and trimmed: what looks the same is the same, however it was typed."""
Email = Annotated[str, Field(max_length=254, pattern=_ADDRESS), AfterValidator(str.lower)]
"""An e-mail address; kept in lower case, so that one address is one patient or user."""
Phone = Annotated[str, Field(pattern=r"^\+?[0-9][0-9 ().\-]{1,18}$", max_length=20)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=50)]
BirthDate = Annotated[date, BeforeValidator(_is_date), AfterValidator(_lived)]
PastMoment = Annotated[AwareDatetime, BeforeValidator(_is_moment), AfterValidator(_happened)]
Moment = Annotated[AwareDatetime, BeforeValidator(_is_moment), AfterValidator(_in_calendar)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_storable)]
NewPassword = Annotated[
    str, Field(min_length=PASSWORD_LENGTH[0], max_length=PASSWORD_LENGTH[1]), AfterValidator(_strong)
]
