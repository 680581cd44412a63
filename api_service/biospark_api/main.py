"""The program `biospark-api`. Exit codes: 0 stopped on request, 1 cannot listen, 2 wrong settings, 3 start
failed.
"""

import argparse
import sys
from typing import NoReturn

from biospark_api.app import create_app
from biospark_api.logs import configure_logging
from biospark_api.server import ListenError, run
from biospark_api.settings import InvalidSettingsError, Settings, load_settings, variable
from biospark_api.sources import secrets_of


def main() -> None:
    """Read the settings and serve until a stop signal."""
    _parser().parse_args()
    try:
        settings = load_settings()
    except InvalidSettingsError as error:
        _exit(2, error.lines)
    configure_logging(settings.environment, settings.log_level)
    try:
        run(create_app(settings, secrets_of(settings)), settings)
    except ListenError as error:
        _exit(1, [str(error)])


def _exit(code: int, lines: list[str]) -> NoReturn:
    for line in lines:
        print(f"biospark-api: {line}", file=sys.stderr)
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    settings = "\n".join(
        f"  {variable(name)} (default {field.default})\n      {field.description}"
        for name, field in Settings.model_fields.items()
    )
    return argparse.ArgumentParser(
        prog="biospark-api",
        description="Serve the BioSpark Health AI API.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"settings, as environment variables (or VARIABLE_FILE with the path of a file):\n{settings}",
    )
