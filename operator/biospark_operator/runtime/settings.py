"""What the operator can be told: by environment variables and by one mounted file.

Environment variables begin with `BIOSPARK_OPERATOR_` and win over the file that `BIOSPARK_OPERATOR_CONFIG`
names (YAML, keys in camelCase as in the resource). A wrong value stops the operator at start with a line per
field; `docs/reference/settings.md` is generated from the descriptions here.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from biospark_operator.components.platform import Platform

CONFIG_VARIABLE = "BIOSPARK_OPERATOR_CONFIG"


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
        env_prefix="BIOSPARK_OPERATOR_",
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
    http_host: str = Field(default="0.0.0.0", description="Address that health and metrics listen on.")  # noqa: S104
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
        sources = (init_settings, env_settings)
        return (*sources, YamlConfigSettingsSource(settings_cls, yaml_file=Path(file))) if file else sources


def explained(error: ValidationError) -> list[str]:
    """Return one line per wrong setting: which one, and what is wrong with it. Values are not repeated."""
    lines = []
    for details in error.errors(include_input=False, include_url=False):
        path = ".".join(str(part) for part in details["loc"])
        what = "there is no such setting" if details["type"] == "extra_forbidden" else details["msg"]
        lines.append(f"{path}: {what}")
    return lines
