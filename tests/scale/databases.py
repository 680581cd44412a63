"""What databases cost: `make bench-databases`.

N environments on one PostgreSQL server of its own, 16 at a time as the operator works: the first pass over database
and schema, a second one in which nothing differs, and one by a process that knows nothing yet. Statements are
counted by the server, in its log. The floor is a script that makes as many databases with the same migrations and
nothing else, over one connection each, measured before and after: that is what a runbook does, without roles,
rights, marks, credentials and checks.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from psycopg import AsyncConnection, sql

from biospark_api.schema import revisions
from biospark_operator.clients.postgres.servers import Servers
from biospark_operator.engine.outcome import Ready
from tests.integration.database.operated import Operated
from tests.postgres import Site, server
from tests.scale.report import machine

#: As many passes are made at once.
PASSES = 16
_WRITE = re.compile(r"(statement|execute [^:]*): (CREATE|ALTER|GRANT|REVOKE|COMMENT|INSERT|UPDATE|DELETE|DROP|DO)\b")
_SENT = re.compile(r"LOG: +(statement|execute [^:]*): ")
_CONNECTED = re.compile(r"connection authorized")


@dataclass(frozen=True)
class Figures:
    """One round over all databases."""

    seconds: float
    #: Of this process, which is the operator here.
    cpu_seconds: float
    statements: int
    writes: int
    connections: int


@dataclass
class Result:
    """All rounds over `number` databases."""

    number: int
    floors: list[Figures] = field(default_factory=list)
    first: Figures | None = None
    again: Figures | None = None
    anew: Figures | None = None

    @property
    def ratio(self) -> float:
        """How much longer the first pass takes than the floor."""
        assert self.first is not None
        return self.first.seconds / statistics.mean(floor.seconds for floor in self.floors)


async def measured(number: int) -> Result:
    """Make all rounds. Raises `AssertionError` where an environment does not get its database."""
    result = Result(number)
    with server(18, "-bench") as running, Site(running, superuser=False) as site:
        result.floors.append(await _round(site, lambda: _floor(site, number, "before")))
        clients = Servers()
        several = [Operated(site, clients, f"{site.name}_{n}", environment_name=f"e{n}") for n in range(number)]
        for each in several[1:]:
            each.comparisons = several[0].comparisons
        result.first = await _round(site, lambda: _made(several))
        result.again = await _round(site, lambda: _looked_at(several))
        await clients.close()
        known = [(each.cluster, each.now) for each in several]
        clients = Servers()
        several = [Operated(site, clients, f"{site.name}_{n}", environment_name=f"e{n}") for n in range(number)]
        for each, (cluster, now) in zip(several, known, strict=True):
            each.cluster, each.now, each.comparisons = cluster, now, several[0].comparisons
        result.anew = await _round(site, lambda: _looked_at(several))
        await clients.close()
        result.floors.append(await _round(site, lambda: _floor(site, number, "after")))
    return result


async def _round(site: Site, work: Callable[[], Awaitable[None]]) -> Figures:
    mark = site.server.log.stat().st_size
    began, cpu = time.monotonic(), time.process_time()
    await work()
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu
    with site.server.log.open() as log:
        log.seek(mark)
        lines = log.readlines()
    return Figures(
        seconds,
        cpu_seconds,
        sum(1 for line in lines if _SENT.search(line)),
        sum(1 for line in lines if _WRITE.search(line)),
        sum(1 for line in lines if _CONNECTED.search(line)),
    )


async def _each(number: int, work: Callable[[int], Awaitable[None]]) -> None:
    turns = asyncio.Semaphore(PASSES)

    async def one(index: int) -> None:
        async with turns:
            await work(index)

    await asyncio.gather(*(one(index) for index in range(number)))


async def _made(several: Sequence[Operated]) -> None:
    async def one(index: int) -> None:
        report = await several[index].migrated()
        assert isinstance(report.outcome, Ready), report.outcome

    await _each(len(several), one)


async def _looked_at(several: Sequence[Operated]) -> None:
    async def one(index: int) -> None:
        for report in (await several[index].run(), await several[index].run_schema()):
            assert isinstance(report.outcome, Ready), report.outcome
            assert report.done == ()

    await _each(len(several), one)


async def _floor(site: Site, number: int, name: str) -> None:
    scripts = [step.sql for revision in revisions() for step in revision.steps]

    async def one(index: int) -> None:
        database = f"{site.name}_{name}_{index}"
        where = site.server.conninfo(site.admin, site.password, "postgres")
        async with await AsyncConnection.connect(where, autocommit=True) as connection:
            await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        where = site.server.conninfo(site.admin, site.password, database)
        async with await AsyncConnection.connect(where, autocommit=True) as connection:
            for script in scripts:
                await connection.execute(script)

    # As many connections as the operator allows itself.
    turns = asyncio.Semaphore(4)

    async def in_turn(index: int) -> None:
        async with turns:
            await one(index)

    await asyncio.gather(*(in_turn(index) for index in range(number)))


def lines(result: Result) -> Iterator[tuple[str, str, str]]:
    """Yield what, how much, and the target where there is one."""
    assert result.first is not None
    assert result.again is not None
    assert result.anew is not None
    number = result.number
    floors = " and ".join(f"{1000 * floor.seconds / number:.0f}" for floor in result.floors)
    yield "script: databases and migrations alone, each", f"{floors} ms", ""
    yield "first pass: database, roles, rights, credentials, schema, each", _milliseconds(result.first, number), ""
    yield "… to the script", f"{result.ratio:.2f}", ""
    yield "… statements", f"{result.first.statements / number:.0f}, {result.first.writes / number:.0f} writes", ""
    yield "… connections opened", f"{result.first.connections / number:.1f}", ""
    yield "… processor time of the operator", f"{1000 * result.first.cpu_seconds / number:.0f} ms", ""
    for what, figures in (("clean pass", result.again), ("clean pass of a new process", result.anew)):
        yield f"{what}, each", _milliseconds(figures, number), ""
        yield "… statements", f"{figures.statements / number:.0f}", ""
        yield "… processor time of the operator", f"{1000 * figures.cpu_seconds / number:.0f} ms", ""
        met = "met" if figures.writes == 0 else "missed"
        yield "… writes in all", f"{figures.writes}", f"0: {met}"


def _milliseconds(figures: Figures, number: int) -> str:
    return f"{1000 * figures.seconds / number:.0f} ms"


def main() -> int:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale.databases", description=__doc__)
    parser.add_argument("--databases", type=int, default=100, help="how many, default 100")
    number = parser.parse_args().databases
    print(f"{number} databases on one server, {machine()}", flush=True)
    result = asyncio.run(measured(number))
    rows = list(lines(result))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    print("\n".join(f"{what:{widths[0]}}  {value:{widths[1]}}  {target}".rstrip() for what, value, target in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
