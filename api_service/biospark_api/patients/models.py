"""What clients send and get about patients."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from biospark_api.fields import BirthDate, Email, Input, Name, Phone, absent
from biospark_api.http.paging import Cursor, Limit

_EXAMPLE: dict[str, Any] = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "date_of_birth": "1985-12-10",
    "email": "ada.lovelace@example.org",
    "phone": "+44 20 7946 0958",
}


class NewPatient(Input):
    """A patient to create, or everything about one to replace."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    first_name: Name = Field(description="Given name.")
    last_name: Name = Field(description="Family name.")
    date_of_birth: BirthDate = Field(description="Date of birth, from 1900-01-01 to today.")
    email: Email | None = Field(default=None, description="E-mail address; one patient can have it.")
    phone: Phone | None = Field(default=None, description="Telephone number.")


class PatientChange(Input):
    """The fields of a patient to change; the others stay. `null` removes an address or number (RFC 7396)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"phone": "+44 20 7946 0000", "email": None}]})

    first_name: Name = absent()
    last_name: Name = absent()
    date_of_birth: BirthDate = absent()
    email: Email | None = absent()
    phone: Phone | None = absent()


class PatientSearch(Input):
    """What to look for; all that is given must match. In a body, since a query string would end up in logs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "love", "date_of_birth": "1985-12-10"}]})

    name: Name | None = Field(default=None, description="Beginning of the given or the family name, in any case.")
    date_of_birth: BirthDate | None = Field(default=None, description="Date of birth.")
    email: Email | None = Field(default=None, description="E-mail address.")
    limit: Limit = Field(default=50, description="Most patients of the answer.")
    cursor: Cursor | None = Field(default=None, description="`next_cursor` of the page before.")


class Patient(BaseModel):
    """A patient."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "6f1c2a52-4d0e-4c56-9f0a-9a4de5a0f3b1",
                    **_EXAMPLE,
                    "created_at": "2025-01-01T12:00:00.123456Z",
                    "updated_at": "2025-01-01T12:00:00.123456Z",
                }
            ]
        }
    )

    id: str = Field(json_schema_extra={"format": "uuid"})
    first_name: str
    last_name: str
    date_of_birth: str = Field(json_schema_extra={"format": "date"})
    email: str | None
    phone: str | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str | None = Field(json_schema_extra={"format": "date-time"})


class PatientsFound(BaseModel):
    """One page of a search."""

    items: list[Patient]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last.")
