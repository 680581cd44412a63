"""The benchmark from top to bottom: floor, sound environments, floor, some broken ones, floor.

The machine may be busy with other things and never is the same twice. So the floor is measured around whatever is
held to it, and only ratios within one run are compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.scale import floor, load
from tests.scale import measurements as measure
from tests.scale.floor import Floor
from tests.scale.measurements import Creation, Latency, Window
from tests.scale.site import Site, fresh

#: Seconds for which nothing happens, to see what it costs that environments exist; and the same in the short form.
IDLE, SHORT_IDLE = 20.0, 2.0


@dataclass(frozen=True)
class Options:
    """What to run: how many environments, on which instance of the cluster, where to write.

    `short` measures everything once, on one cluster: figures to see that the benchmark works, not to compare.
    """

    environments: int
    instance: str
    directory: Path
    keep: bool = False
    profile: bool = False
    short: bool = False


@dataclass(frozen=True)
class Sound:
    """The figures with environments that all can become ready, in the order in which they are measured."""

    creation: Creation
    idle: Window
    check: Window
    changed_one_by_one: Latency
    changed_at_once: Latency
    repaired: Latency
    restart: Window
    peak_mib: float


@dataclass(frozen=True)
class PartlyBroken:
    """The figures of the sound environments while a tenth of all are broken."""

    creation: Creation
    changed_at_once: Latency


@dataclass(frozen=True)
class Result:
    """All figures of one run. The floors were measured before, between and after the two others."""

    environments: int
    floors: tuple[Floor, Floor, Floor]
    sound: Sound
    broken: PartlyBroken

    @property
    def objects(self) -> int:
        """Objects of one environment."""
        return self.floors[0].objects // self.environments

    @property
    def applied_ratio(self) -> float:
        """Time until all were ready, in times of bare apply."""
        return self.sound.creation.ready_seconds / statistics.mean(f.applied_seconds for f in self.floors[:2])

    @property
    def available_ratio(self) -> float:
        """Time until all were ready, in times of bare apply until the pods were available: that is what ready means."""
        return self.sound.creation.ready_seconds / statistics.mean(f.available_seconds for f in self.floors[:2])

    @property
    def server_ratio(self) -> float:
        """Processor time of the servers until all were ready, in times of bare apply until the pods were available."""
        used = self.sound.creation.window.server_cpu_seconds
        return used / statistics.mean(f.server_cpu_seconds for f in self.floors[:2])

    @property
    def broken_ratio(self) -> float:
        """Time until the sound ones were ready, a tenth being broken, to that without; each in times of its floors."""
        without = self.sound.creation.others_seconds / statistics.mean(f.available_seconds for f in self.floors[:2])
        beside = self.broken.creation.others_seconds / statistics.mean(f.available_seconds for f in self.floors[1:])
        return beside / without


async def run(options: Options, report: Callable[[str], None]) -> Result:
    """Run it all; `report` is told what begins."""
    count = options.environments
    groups = [load.names(count, group) for group in ("floor", "sound", "mixed")]
    if options.short:
        async with _site(options) as site:
            only = await floor.measure(site, groups[0])
            sound, broken = await _sound(site, groups[1], SHORT_IDLE), await _partly_broken(site, groups[2])
            return Result(count, (only, only, only), sound, broken)

    async def measured_floor() -> Floor:
        report(f"Floor: bare apply of the objects of {count} environments")
        async with _site(options) as site:
            return await floor.measure(site, groups[0])

    before = await measured_floor()
    report(f"Operator: {count} environments, then idleness, checks, changes, drift, a restart")
    async with _site(options, profile=options.profile) as site:
        sound = await _sound(site, groups[1], IDLE)
    between = await measured_floor()
    report(f"Operator: {count} environments, a tenth of them broken")
    async with _site(options) as site:
        broken = await _partly_broken(site, groups[2])
    return Result(count, (before, between, await measured_floor()), sound, broken)


def _site(options: Options, *, profile: bool = False) -> AbstractAsyncContextManager[Site]:
    return fresh(
        options.instance,
        options.directory,
        keep=options.keep,
        profile=options.directory / "operator.prof" if profile else None,
    )


async def _sound(site: Site, names: Sequence[str], idle_seconds: float) -> Sound:
    sample = names[: measure.SAMPLE]
    await site.operator.start()
    async with measure.environments(site) as follower:
        creation = await measure.create(site, follower, names, broken=False)
        idle = await measure.idle(site, idle_seconds)
        check = await measure.check_all(site, names)
        one_by_one = await measure.change_one_by_one(site, follower, sample)
        await measure.settled(site, follower, names)
        at_once = await measure.change_at_once(site, follower, sample)
        await measure.settled(site, follower, names)
        repaired = await measure.repair(site, sample)
        await measure.settled(site, follower, names)
        peak = site.operator.usage().peak_mib
        restart = await measure.restart(site, names)
        peak = max(peak, site.operator.usage().peak_mib)
    return Sound(creation, idle, check, one_by_one, at_once, repaired, restart, peak)


async def _partly_broken(site: Site, names: Sequence[str]) -> PartlyBroken:
    faulty = load.broken(names)
    sample = [name for name in names if name not in faulty][: measure.SAMPLE]
    await site.operator.start()
    async with measure.environments(site) as follower:
        creation = await measure.create(site, follower, names, broken=True)
        return PartlyBroken(creation, await measure.change_at_once(site, follower, sample))
