"""Asks the operator how it is, for `helm test`. Ends with 1 if it is not well within a minute.

Runs in the operator's image. The argument is where the operator's Service is, as in http://biospark-operator:8080.
"""

import sys
import time
import urllib.error
import urllib.request

PATHS = ("/healthz", "/readyz", "/metrics")
DEADLINE, PAUSE = 60, 1


def answer(url: str) -> str | None:
    """Return what is wrong with the answer at `url`, or None if it is as it should be."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return None
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")
    except OSError as error:
        return str(error)


def main(service: str) -> int:
    """Ask until all is well or the time is over, and return the exit code."""
    until = time.monotonic() + DEADLINE
    while faults := {path: fault for path in PATHS if (fault := answer(service + path)) is not None}:
        if time.monotonic() > until:
            for path, fault in faults.items():
                print(f"{path}: {fault}")
            return 1
        time.sleep(PAUSE)
    print("the operator answers: healthy and ready")
    return 0


sys.exit(main(sys.argv[1]))
