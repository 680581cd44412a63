"""Structured logs: one JSON object per line on standard output. Configured once, by `main`.

Records must never hold health data. The messages of exceptions are the usual leak, since a database driver or
a validator quotes the row or the input in them, so the formatter writes the type of an exception and where it
was raised, never its text. That holds for the records of libraries as well, because all loggers share the
formatter.
"""

import asyncio
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import msgspec
from pythonjsonlogger.core import LogData
from pythonjsonlogger.msgspec import MsgspecFormatter

from biospark_api.http.correlation import current_request_id
from biospark_api.http.observation import RequestRecord

log = logging.getLogger(__name__)

_FIELDS = ("levelname", "name", "message")
_NAMES = {"levelname": "level", "name": "logger", "exc_info": "exception"}


class SafeJsonFormatter(MsgspecFormatter):
    """Writes a record as JSON with the request's id, and exceptions without their messages."""

    def __init__(self, environment: str) -> None:
        super().__init__(
            _FIELDS,
            rename_fields=_NAMES,
            static_fields={"service": "biospark-api", "environment": environment},
            timestamp=True,
        )

    def add_fields(self, log_data: LogData, record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add the id of the request that the record belongs to, if any."""
        super().add_fields(log_data, record, message_dict)
        if (request_id := current_request_id.get()) is not None:
            log_data["request_id"] = request_id

    def jsonify_log_record(self, log_data: LogData) -> str:
        """The line. Text that is not Unicode, as in names of files, is escaped: a record must not be lost."""
        try:
            return super().jsonify_log_record(log_data)
        except UnicodeEncodeError:
            return json.dumps(log_data, default=str)

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        if isinstance(record, RequestRecord):
            return self._request_line(record)
        return super().format(record)

    def _request_line(self, record: RequestRecord) -> str:
        # The same members as above: most lines are of this kind, and going through each costs as much as a layer.
        line = {
            "level": record.levelname,
            "logger": record.name,
            "message": record.msg,
            **self.static_fields,
            "method": record.method,
            "route": record.route,
            "status": record.status,
            "duration_ms": record.duration_ms,
            "timestamp": datetime.fromtimestamp(record.created, UTC),
            "request_id": current_request_id.get(),
        }
        return msgspec.json.encode(line).decode()

    def formatException(self, ei: Any) -> str:  # noqa: N802 - overrides the standard library's name
        """Types and places of an exception and what caused it."""
        return describe_exception(ei[1])


def describe_exception(error: BaseException | None) -> str:
    """Types and stack of an exception and its causes, innermost call last, without any message."""
    return "\n".join(line for link in _chain(error) for line in _describe(link))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _describe(error: BaseException) -> Iterator[str]:
    kind = type(error)
    yield f"{kind.__module__}.{kind.__qualname__}"
    yield from (f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in _frames(error.__traceback__))


def _frames(origin: TracebackType | None) -> traceback.StackSummary:
    # A negative limit keeps the innermost frames: the fault is there, the framework's layers are above.
    return traceback.extract_tb(origin, limit=-20)


def configure_logging(environment: str, level: str, stream: TextIO | None = None) -> None:
    """Send every logger's records of at least `level` to `stream` (standard output) as JSON."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(SafeJsonFormatter(environment))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    # Its records of a start and stop repeat those of `server`.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def log_loop_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Exception handler of the event loop; the default one prints the exception's text."""
    log.error("A background task failed", exc_info=context.get("exception"))
