"""Retries are spaced out, within bounds, and start anew after a success or a change."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospark_operator.engine.backoff import CAP, FLOOR, Backoff, delay


@given(failures=st.integers(1, 10_000), seed=st.integers())
def test_a_delay_is_never_a_busy_loop_and_never_longer_than_the_cap(failures: int, seed: int) -> None:
    assert FLOOR <= delay(failures, random.Random(seed)) <= CAP


def test_delays_grow_with_the_failures() -> None:
    rng = random.Random(1)
    delays = [delay(n, rng) for n in (2, 4, 6, 8)]
    assert delays == sorted(delays)


def test_a_component_is_due_again_when_its_delay_has_passed() -> None:
    backoff = Backoff()
    wait = backoff.failed("database", now=100.0)
    assert backoff.remaining("database", 100.0) == pytest.approx(wait)
    assert backoff.remaining("database", 100.0 + wait) == 0
    assert backoff.remaining("network", 100.0) == 0


def test_the_delay_that_the_other_side_asked_for_is_kept() -> None:
    assert Backoff().failed("database", now=0.0, at_least=45.0) >= 45.0


@pytest.mark.parametrize("ending", [lambda b: b.succeeded("database"), lambda b: b.reset()])
def test_a_series_ends_with_a_success_and_with_a_change(ending) -> None:
    backoff = Backoff(rng=random.Random(3))
    for _ in range(9):
        backoff.failed("database", now=0.0)
    ending(backoff)
    assert backoff.remaining("database", 0.0) == 0
    assert backoff.failed("database", now=0.0) <= 2.0
