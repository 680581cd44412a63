"""Sets up logging: one JSON object per line, or plain text for a terminal."""

from __future__ import annotations

import logging
import logging.config

from pythonjsonlogger.core import RESERVED_ATTRS

from biospark_operator.runtime.settings import LogFormat, OperatorSettings

#: What kopf attaches to its records for itself; it is nothing to read and can't be written as JSON.
_KOPF_INTERNALS = ("settings", "k8s_skip")


def configure(settings: OperatorSettings) -> None:
    """Make every logger of the process write to standard error in the configured format.

    kopf is kept at WARNING and above: at INFO it tells of each call of a handler, at DEBUG it prints whole
    objects, with the data of Secrets.
    """
    formats = {
        LogFormat.JSON: {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": "%(levelname)s %(name)s %(message)s",
            "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "exception"},
            "timestamp": "time",
            "reserved_attrs": [*RESERVED_ATTRS, *_KOPF_INTERNALS],
        },
        LogFormat.TEXT: {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"},
    }
    quiet = max(logging.WARNING, getattr(logging, settings.log_level.value))
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"chosen": formats[settings.log_format]},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "chosen"}},
            "root": {"handlers": ["stderr"], "level": settings.log_level.value},
            "loggers": {name: {"level": quiet} for name in ("kopf", "kubernetes", "aiohttp.access")},
        }
    )


def expect_the_end() -> None:
    """Keep kopf quiet about the handlers that it cancels, because the process is told to end."""
    logging.getLogger("kopf").setLevel(logging.ERROR)
