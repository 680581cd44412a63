"""What an operator of the service can set, read once at start by `main`.

Every setting is an environment variable `BIOSPARK_<NAME>`, or a file named by `BIOSPARK_<NAME>_FILE` for
values that come from a mounted ConfigMap or Secret. A wrong or misspelt setting stops the start with one line
per fault: a service that guesses what was meant fails later and in a worse place. No message ever repeats a
value, since a value may be a secret that was put into the wrong variable.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from biospark_api.fields import Email, is_weak
from biospark_api.security.keys import KeyFormatError, parse_signing_key, parse_verify_keys
from biospark_api.security.strength import is_guessable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Secret = Annotated[SecretStr, Field(min_length=1)]

PREFIX = "BIOSPARK_"
FILE_SUFFIX = "_FILE"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

# Kubernetes describes each Service of the namespace in every pod's environment. For Services whose names
# begin with "biospark" these variables carry our prefix; they are nobody's spelling mistake.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")

# What programs of the project beside the service read: the operator, the local cluster and the tests. A shell in which
# one of them was set up starts the service as well.
_OTHERS = re.compile(r"OPERATOR_\w+|HOST_ADDRESS|INSTANCE|LONG|PREVIOUS|SEED")


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _label(name: str) -> str:
    if not _LABEL.fullmatch(name):
        raise PydanticCustomError("label", "Input should be 1 to 63 of a-z, 0-9 and inner '-'")
    return name


def _plain_url(url: HttpUrl) -> HttpUrl:
    if url.username or url.password or url.query or url.fragment:
        raise PydanticCustomError("public_url", "Input should be a URL of scheme, host and path only")
    return url


def _networks(text: str) -> str:
    try:
        networks_of(text)
    except ValueError:
        raise PydanticCustomError("networks", "Input should be networks like 10.0.0.0/8, with commas between") from None
    return text


def networks_of(text: str) -> tuple[Network, ...]:
    """The networks of a list with commas; raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


class Settings(BaseSettings):
    """All settings of the API service. Frozen: a change takes a restart."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    environment: Annotated[str, AfterValidator(_label)] = Field(
        default="local",
        description="Name of the BioSparkEnvironment this service belongs to; stands in every log record.",
    )
    public_url: Annotated[HttpUrl, AfterValidator(_plain_url)] | None = Field(
        default=None,
        description="URL under which clients reach the API through the gateway. Published in the OpenAPI "
        "document; with https, browsers are told to insist on it (HSTS).",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="Least severe log record that is written. Probes are logged at debug."
    )
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="IP address to listen on, for both ports; :: for all, of IPv4 and of IPv6.",
    )
    port: int = Field(default=8080, ge=0, le=65535, description="Port of the API; 0 takes a free one.")
    metrics_port: int = Field(default=9090, ge=0, le=65535, description="Port of the metrics; 0 takes a free one.")
    drain_seconds: float = Field(
        default=5.0,
        ge=0,
        le=300,
        description="Seconds between the stop signal and the end of accepting requests. In a cluster it "
        "takes this long until no proxy sends new requests to the pod.",
    )
    shutdown_seconds: int = Field(
        default=20,
        ge=1,
        le=600,
        description="Seconds that open requests get to finish after that. The pod's grace period must exceed "
        "the sum of both.",
    )
    max_body_bytes: int = Field(
        default=1_048_576, ge=1, le=104_857_600, description="Largest accepted request body, in bytes."
    )

    head_seconds: float = Field(
        default=10.0, gt=0, le=300, description="Seconds within which the head of a request must have arrived."
    )
    body_seconds: float = Field(
        default=10.0, gt=0, le=300, description="Seconds within which a request body must have arrived."
    )

    send_seconds: float = Field(
        default=10.0,
        gt=0,
        le=300,
        description="Seconds within which a client must take something of an answer that waits for it; then the "
        "connection is closed.",
    )
    max_page_bytes: int = Field(
        default=2_097_152,
        ge=1024,
        le=104_857_600,
        description="Bytes of health records or of agents after which a page ends early, with a link to the next "
        "one. What is larger by itself is a page of its own.",
    )
    max_answers_bytes: int = Field(
        default=33_554_432,
        ge=1024,
        description="Most bytes of large answers, those over 64 KiB, that one process holds at once, half of them for "
        "one user; beyond it 503.",
    )
    max_bodies_bytes: int = Field(
        default=4_194_304,
        ge=1024,
        description="Most bytes of large request bodies, those over 64 KiB, that one process reads and works on at "
        "once, half of them for one user; beyond it they wait, then 503.",
    )

    database_host: str | None = Field(
        default=None,
        description="PostgreSQL server. Without it the service runs without its endpoints: health and "
        "documentation only.",
    )
    database_port: int = Field(default=5432, ge=1, le=65535, description="Port of the PostgreSQL server.")
    database_name: str = Field(default="biospark", min_length=1, description="Name of the database.")
    database_user: str | None = Field(default=None, description="Login role of the API; read again on change.")
    database_password: Secret | None = Field(default=None, description="Its password; read again on change.")
    database_ssl_mode: Literal["disable", "require", "verify-ca", "verify-full"] = Field(
        default="require", description="How the connection is encrypted and the server is checked, as in libpq."
    )
    database_ca_path: str | None = Field(
        default=None, description="File with the certificates that sign the server's, for the modes that check it."
    )
    database_pool_size: int = Field(
        default=12,
        ge=1,
        le=200,
        description="Most connections of one process, two thirds for one user, two of 8 or more for the service.",
    )
    database_wait_seconds: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="Longest wait for a free connection, or for room for a large body; beyond it 503.",
    )
    database_statement_seconds: float = Field(
        default=5.0,
        gt=0,
        le=300,
        description="Time limit of one statement, enforced by the server. What is not over a second later is given up.",
    )
    database_prepared_statements: bool = Field(
        default=True, description="Off for PgBouncer in transaction mode before its version 1.21."
    )

    token_key: Secret | None = Field(
        default=None,
        description="RSA private key that signs tokens, in PEM, 2048 bits or more; read again on change.",
    )
    token_other_keys: SecretStr | None = Field(
        default=None,
        description="Public keys in PEM, one after another, whose tokens are accepted too: the previous key, and "
        "the next one before it signs. Read again on change.",
    )
    token_issuer: str | None = Field(
        default=None, description="Claim `iss` of tokens; `biospark/<environment>` unless set."
    )
    token_audience: str = Field(default="biospark-api", min_length=1, description="Claim `aud` of tokens.")
    token_lifetime_seconds: int = Field(default=86_400, ge=60, le=604_800, description="How long a token is valid.")
    refresh_lifetime_seconds: int = Field(
        default=2_592_000, ge=60, le=31_536_000, description="How long a session can be refreshed."
    )
    revocation_seconds: float = Field(
        default=5.0,
        ge=0,
        le=300,
        description="How long a token that was found valid is believed before the database is asked again: "
        "a logout or a disabled user takes effect everywhere within this time.",
    )
    secrets_poll_seconds: float = Field(
        default=5.0, gt=0, le=3600, description="How often files of secrets are looked at for a change."
    )

    bootstrap_admin_email: str | None = Field(
        default=None, description="Address of the administrator that is made when there is none."
    )
    bootstrap_admin_password: Secret | None = Field(
        default=None, description="Password of that administrator, 12 characters or more and hard to guess. Used once."
    )
    password_queue: int = Field(
        default=16, ge=1, le=1000, description="Most logins that wait for the password check; beyond it 503."
    )
    login_failures_per_account: int = Field(
        default=10,
        ge=2,
        le=10_000,
        description="Wrong passwords for one account from one address within the window that cost no time. The next "
        "one costs a second, and each further one twice as much; until then the answer is 429.",
    )
    login_failures_per_address: int = Field(
        default=100, ge=2, le=1_000_000, description="The same for all accounts together, from one address."
    )
    login_failures_elsewhere: int = Field(
        default=20,
        ge=2,
        le=1_000_000,
        description="The same for one account, from all addresses together that it did not log in from within 90 "
        "days. Addresses that it did log in from are not held up by it.",
    )
    login_window_seconds: int = Field(
        default=900, ge=1, le=86_400, description="The window of these limits, and the longest wait."
    )
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        default="",
        description="Networks of the gateway (CIDR, with commas between). Only what they say about the client's "
        "address in X-Forwarded-For is believed; without them all clients behind a gateway have one address.",
    )

    erase_deleted_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="Days after which patients who were deleted are erased with their health records; kept unless set.",
    )
    docs: bool = Field(
        default=True, description="Whether `/docs` and `/openapi.json` are served; otherwise they are 404."
    )
    hsts_include_subdomains: bool = Field(
        default=False,
        description="Whether browsers are told to insist on https for all names below that of the public URL as well.",
    )

    @model_validator(mode="after")
    def _database_is_complete(self) -> Self:
        if self.database_host is None:
            return self
        for field in ("database_user", "database_password", "token_key"):
            if getattr(self, field) is None:
                raise PydanticCustomError(
                    "incomplete", f"{variable(field)}: must be set together with BIOSPARK_DATABASE_HOST"
                )
        return self

    @model_validator(mode="after")
    def _administrator_is_complete(self) -> Self:
        if (self.bootstrap_admin_email is None) != (self.bootstrap_admin_password is None):
            raise PydanticCustomError("incomplete", "BIOSPARK_BOOTSTRAP_ADMIN_EMAIL and _PASSWORD must be set together")
        return self

    @field_validator("database_password", "bootstrap_admin_password")
    @classmethod
    def _is_no_default(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and is_weak(secret.get_secret_value()):
            raise PydanticCustomError("weak", "Input should be 12 to 1024 characters and no well-known password")
        return secret

    @field_validator("bootstrap_admin_password")
    @classmethod
    def _is_hard_to_guess(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and is_guessable(secret.get_secret_value()):
            raise PydanticCustomError("weak", "Input should be harder to guess")
        return secret

    @field_validator("token_key", "token_other_keys")
    @classmethod
    def _is_key(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        parse = parse_signing_key if info.field_name == "token_key" else parse_verify_keys
        try:
            if secret is not None:
                parse(secret.get_secret_value())
        except KeyFormatError as error:
            raise PydanticCustomError("key", "{reason}", {"reason": str(error)}) from None
        return secret

    @field_validator("bootstrap_admin_email")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        return None if address is None else TypeAdapter(Email).validate_python(address)

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.port and self.port == self.metrics_port:
            raise PydanticCustomError("ports", "BIOSPARK_PORT and BIOSPARK_METRICS_PORT must differ")
        return self


class InvalidSettingsError(Exception):
    """The settings cannot be used; `lines` says why, one readable line per fault, without any value."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def variable(field: str) -> str:
    """The environment variable that sets a field."""
    return PREFIX + field.upper()


def load_settings() -> Settings:
    """Read the settings from the environment and the files it names; raises `InvalidSettingsError`."""
    files, faults = _read_files(os.environ)
    faults = _unknown(os.environ) + faults
    try:
        settings = Settings(**files)
    except ValidationError as error:
        faults += [_line(fault) for fault in error.errors(include_input=False, include_url=False)]
    if faults:
        raise InvalidSettingsError(faults)
    return settings


def _line(fault: Any) -> str:
    field = ".".join(str(part) for part in fault["loc"][:1])
    return f"{variable(field)}: {fault['msg']}" if field else str(fault["msg"])


def _read_files(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Values by field from the `*_FILE` variables, and a line for each that cannot be used."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field in Settings.model_fields:
        name = variable(field)
        path = environ.get(name + FILE_SUFFIX)
        if not path:
            continue
        if environ.get(name):
            faults.append(f"{name}: is set together with {name}{FILE_SUFFIX}; keep one of them")
            continue
        try:
            values[field] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            faults.append(f"{name}{FILE_SUFFIX}: the file cannot be read: {reason}")
    return values, faults


def _unknown(environ: Mapping[str, str]) -> list[str]:
    names = [variable(field) for field in Settings.model_fields]
    known = {*names, *(name + FILE_SUFFIX for name in names)}
    return [
        _suggestion(name, names)
        for name, value in sorted(environ.items())
        if name.startswith(PREFIX)
        and name not in known
        and not _OTHERS.fullmatch(name.removeprefix(PREFIX))
        and not _SERVICE_LINK.search(name)
        and not _SERVICE_LINK_VALUE.match(value)
    ]


def _suggestion(name: str, names: list[str]) -> str:
    # The prefix, which all share, would make any two names look alike.
    endings = [known.removeprefix(PREFIX) for known in names]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), endings, n=1, cutoff=0.7)
    hint = f"did you mean {PREFIX}{close[0]}?" if close else f"known are {', '.join(sorted(names))}"
    return f"{name}: there is no such setting; {hint}"
