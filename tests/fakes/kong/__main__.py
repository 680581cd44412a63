"""Run the stand-in as a program: `python -m tests.fakes.kong --admin 8001 --proxy 8000 --secure 8443 --status 8100`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from tests.fakes.kong.gateway import Gateway, serve
from tests.fakes.kong.identity import MARK


def started(gateway: Gateway) -> None:
    ports = ", ".join(f"{name} {port}" for name, port in gateway.ports.items())
    print(
        f"This is no Kong but a {MARK} that behaves like Kong {gateway.version} for tests. Ports: {ports}", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.kong", description=f"Kong Gateway, a {MARK}.")
    for name, port in {"admin": 8001, "proxy": 8000, "secure": 8443, "status": 8100}.items():
        parser.add_argument(f"--{name}", type=int, default=port, metavar="PORT", help="0: any free one")
    parser.add_argument("--version", default="3.4.2", help="the version of Kong that it is like")
    parser.add_argument("--database", choices=("postgres", "off"), default="postgres")
    arguments = parser.parse_args()
    ports = {name: getattr(arguments, name) for name in ("admin", "proxy", "secure", "status")}
    gateway = Gateway(arguments.version, database=arguments.database, ports=ports)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(gateway, started))


if __name__ == "__main__":
    main()
