"""The command line of the benchmark, `make bench`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.scale import report
from tests.scale.benchmark import Options, run


def main() -> int:
    """Run the benchmark, print the table and say where the figures are."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("--environments", type=int, default=100, help="how many, default 100")
    parser.add_argument("--instance", default="bench", help="name of the local cluster, default bench")
    parser.add_argument("--directory", type=Path, default=Path("build/bench"), help="where to write")
    parser.add_argument("--keep", action="store_true", help="leave the last cluster up")
    parser.add_argument("--profile", action="store_true", help="profile the operator with cProfile; it gets slower")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    result = asyncio.run(run(Options(**vars(arguments)), lambda text: print(text, flush=True)))
    print(f"\n{report.table(result)}\n\nAll figures: {report.write(result, arguments.directory)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
