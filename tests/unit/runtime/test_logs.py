"""The shape of log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import kopf
import pytest
from kopf._core.actions.loggers import LocalObjectLogger

from biospark_operator.runtime import logs
from biospark_operator.runtime.settings import LogFormat, LogLevel, OperatorSettings
from tests.fakes.environments import body


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("kopf", "kubernetes", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_json_line_has_time_level_logger_message_and_what_is_added(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(OperatorSettings())
    logging.getLogger("biospark_operator.x").info("hello %s", "there", extra={"environment": "dev"})
    line = json.loads(capsys.readouterr().err)
    assert datetime.fromisoformat(line.pop("time")).tzinfo == UTC
    assert line == {
        "level": "INFO",
        "logger": "biospark_operator.x",
        "message": "hello there",
        "environment": "dev",
    }


def test_a_traceback_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(OperatorSettings())
    try:
        int("broken")
    except ValueError:
        logging.getLogger("x").exception("a defect")
    (text,) = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(text)["exception"]


def test_a_line_of_kopf_about_an_object_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(OperatorSettings())
    logger = LocalObjectLogger(body=kopf.Body(body()), settings=kopf.OperatorSettings())
    logger.warning("watch out")
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["k8s_ref"]["name"]) == ("watch out", "dev")
    assert "settings" not in line


def test_at_the_end_only_errors_of_kopf_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(OperatorSettings())
    logs.expect_the_end()
    logging.getLogger("kopf.objects").warning("a handler is cancelled")
    logging.getLogger("kopf.objects").error("broken")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["broken"]


def test_text_is_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(OperatorSettings(log_format=LogFormat.TEXT))
    logging.getLogger("x").warning("hello")
    assert capsys.readouterr().err.endswith("WARNING x: hello\n")


@pytest.mark.parametrize("name", ["kopf.objects", "kubernetes.client", "aiohttp.access"])
def test_libraries_that_print_whole_objects_are_kept_quiet_at_every_level(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    logs.configure(OperatorSettings(log_level=LogLevel.DEBUG))
    logging.getLogger(name).info("planted")
    logging.getLogger("biospark_operator").debug("ours")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["ours"]


def test_the_least_severe_line_holds_for_libraries_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(OperatorSettings(log_level=LogLevel.ERROR))
    logging.getLogger("kopf").warning("hello")
    assert capsys.readouterr().err == ""
