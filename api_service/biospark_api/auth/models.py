"""What clients send and get to log in."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from biospark_api.fields import Email, Input, NewPassword
from biospark_api.security.permissions import Role


class Credentials(Input):
    """Who wants to log in."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "clinician@example.org", "password": "seven-Blue-lanterns"}]}
    )

    email: Email = Field(description="Address of the user.")
    # No rules but a length: what counts is whether it is the right one.
    password: str = Field(min_length=1, max_length=1024, description="Password of the user.")


class RefreshRequest(Input):
    """The refresh token of a session."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "vd0Qy1R4c1rEYDvT8b2cT3W3X0rJ0fW0f2ZK1bqk3sA"}]}
    )

    refresh_token: str = Field(
        pattern=r"^[A-Za-z0-9_-]{43}$", description="From the last login or refresh; can be used once."
    )


class PasswordChange(Input):
    """The own password, and the next one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"current": "seven-Blue-lanterns", "password": "nine-Green-lanterns"}]}
    )

    current: str = Field(min_length=1, max_length=1024, description="The password of now.")
    password: NewPassword = Field(description="12 to 1024 characters, and hard to guess.")


class Session(BaseModel):
    """What a client needs to call the other operations."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": "eyJhbGciOiJSUzI1NiIsImtpZCI6Ii4uLiJ9.eyJzdWIiOiIuLi4ifQ.c2lnbmF0dXJl",
                    "token_type": "Bearer",
                    "expires_in": 86400,
                    "refresh_token": "vd0Qy1R4c1rEYDvT8b2cT3W3X0rJ0fW0f2ZK1bqk3sA",
                }
            ]
        }
    )

    token: str = Field(description="JSON Web Token; send it as `Authorization: Bearer`.")
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="Seconds until the token expires.")
    refresh_token: str = Field(description="Gets the next token at `/api/v1/auth/refresh`; can be used once.")


class Me(BaseModel):
    """The user of a token."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "3c7d9d8e-0f2b-4c7a-9a61-2b8f0f6f7a10",
                    "email": "clinician@example.org",
                    "role": "clinician",
                    "permissions": ["own session", "read patients"],
                    "expires_at": "2025-01-02T12:00:00Z",
                }
            ]
        }
    )

    id: str = Field(json_schema_extra={"format": "uuid"})
    email: str
    role: Role
    permissions: list[str] = Field(description="What the role may do.")
    expires_at: str = Field(description="When the token expires.", json_schema_extra={"format": "date-time"})


class JsonWebKey(BaseModel):
    """A public key (RFC 7517)."""

    kty: Literal["RSA"]
    use: Literal["sig"]
    alg: Literal["RS256"]
    kid: str = Field(description="The key's thumbprint (RFC 7638), as in the header of tokens.")
    n: str
    e: str


class JsonWebKeySet(BaseModel):
    """The public keys that verify tokens, the one that signs first."""

    keys: list[JsonWebKey]
