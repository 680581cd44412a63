"""What the operator can be told: by environment variables and by one mounted file.

Environment variables begin with `BIOSPARK_OPERATOR_` and win over the file that `BIOSPARK_OPERATOR_CONFIG`
names (YAML, keys in camelCase as in the resource). A wrong value stops the operator at start with a line per
field; `docs/reference/settings.md` is generated from the descriptions here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from biospark_operator.api.platform import Platform

CONFIG_VARIABLE = "BIOSPARK_OPERATOR_CONFIG"
_PREFIX = "BIOSPARK_OPERATOR_"
#: What Kubernetes adds to the variables of a container for a Service named biospark-operator or alike.
_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_|$)")


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least severe log line that is written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class OperatorSettings(BaseSettings):
    """The settings of the operator's process."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_prefix_target="all",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        alias_generator=to_camel,
    )

    namespace: str = Field(
        default="biospark-system",
        description="Namespace the operator runs in. Secrets that environments refer to are read there only.",
    )
    pod_name: str = Field(default="", description="Name of the operator's pod: who holds the Lease.")
    http_host: str = Field(
        default="::", description="Address that health and metrics listen on; `::` is all, of IPv4 and of IPv6."
    )
    http_port: int = Field(default=8080, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    log_level: LogLevel = Field(default=LogLevel.INFO, description="DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat = Field(default=LogFormat.JSON, description="json, or text for a terminal.")
    leader_election: bool = Field(
        default=True, description="Hold a Lease while working, so that of several replicas one works."
    )
    passes: int = Field(default=16, ge=1, le=256, description="Environments that are worked on at the same time.")
    requests: int = Field(default=64, ge=4, le=512, description="Requests to the API server under way at once.")
    platform: Platform = Field(default_factory=Platform, description="What the operator has to know of the cluster.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over environment variables, and those over the file."""
        file = os.environ.get(CONFIG_VARIABLE)
        sources = (init_settings, _Variables(settings_cls))
        return (*sources, YamlConfigSettingsSource(settings_cls, yaml_file=Path(file))) if file else sources


class _Variables(EnvSettingsSource):
    """Environment variables by the names that the file has, so that both can set fields of one object."""

    def __call__(self) -> dict[str, Any]:
        return _by_alias(self.settings_cls, super().__call__())


def _by_alias(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Name the fields of `model` and of the models in it by their aliases; the keys of other maps are data."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        info = model.model_fields.get(key)
        kind = info.annotation if info else None
        if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, Mapping):
            value = _by_alias(kind, value)  # noqa: PLW2901
        named[info.alias or key if info else key] = value
    return named


class WrongSettingsError(Exception):
    """The operator can't start with these settings. `lines` say which are wrong and why, never their values."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def load() -> OperatorSettings:
    """Read the settings. Raises `WrongSettingsError`."""
    file = os.environ.get(CONFIG_VARIABLE)
    if file and not Path(file).is_file():
        raise WrongSettingsError([f"{CONFIG_VARIABLE}: there is no file {file}"])
    if unknown := _unknown_variables():
        raise WrongSettingsError([f"{name}: there is no such setting" for name in unknown])
    try:
        return OperatorSettings()
    except ValidationError as error:
        raise WrongSettingsError(_explained(error)) from None
    except SettingsError as error:
        raise WrongSettingsError([f"{error}; write JSON"]) from None
    except (yaml.YAMLError, OSError, ValueError, TypeError):
        raise WrongSettingsError([f"{CONFIG_VARIABLE}: {file} is not a YAML mapping that can be read"]) from None


def _unknown_variables() -> list[str]:
    """Return the variables with our prefix that set nothing, but for those that Kubernetes makes of Services."""
    fields = OperatorSettings.model_fields
    known = {name for field, info in fields.items() for name in (field, str(info.alias).lower())} | {"config"}
    names = (name for name in os.environ if name.upper().startswith(_PREFIX))
    return sorted(
        name
        for name in names
        if name.removeprefix(_PREFIX).lower().partition("__")[0] not in known and not _SERVICE_LINK.search(name)
    )


def _explained(error: ValidationError) -> list[str]:
    """Return one line per wrong setting: which one, and what is wrong with it. Values are not repeated."""
    lines = []
    for details in error.errors(include_input=False, include_url=False):
        path = ".".join(str(part) for part in details["loc"])
        what = "there is no such setting" if details["type"] == "extra_forbidden" else details["msg"]
        lines.append(f"{path}: {what}")
    return lines
