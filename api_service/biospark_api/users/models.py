"""What clients send and get about users. A password only ever goes in."""

from pydantic import BaseModel, ConfigDict, Field

from biospark_api.fields import Email, Input, NewPassword, absent
from biospark_api.security.permissions import Role


class NewUser(Input):
    """A user to create."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "clinician@example.org", "password": "seven-Blue-lanterns", "role": "clinician"}]
        }
    )

    email: Email = Field(description="Address to log in with.")
    password: NewPassword = Field(description="12 to 1024 characters, and hard to guess.")
    role: Role = Field(description="What the user may do.")


class UserChange(Input):
    """The fields of a user to change; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"active": False}]})

    role: Role = absent("What the user may do; takes effect on tokens that are in use.")
    active: bool = absent("False disables the user and ends all sessions.")


class PasswordReset(Input):
    """A new password for a user."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "nine-Green-lanterns"}]})

    password: NewPassword = Field(description="12 to 1024 characters, and hard to guess.")


class User(BaseModel):
    """A user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "3c7d9d8e-0f2b-4c7a-9a61-2b8f0f6f7a10",
                    "email": "clinician@example.org",
                    "role": "clinician",
                    "active": True,
                    "created_at": "2025-01-01T12:00:00.123456Z",
                    "updated_at": "2025-01-01T12:00:00.123456Z",
                }
            ]
        }
    )

    id: str = Field(json_schema_extra={"format": "uuid"})
    email: str
    role: Role
    active: bool
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})
