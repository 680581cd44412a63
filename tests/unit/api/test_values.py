"""Durations and quantities."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospark_operator.api.v1alpha1.durations import format_duration, parse_duration
from biospark_operator.api.v1alpha1.quantities import parse_quantity


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("1h30m", 5400), ("720h", 2_592_000), ("2160h0m0s", 7_776_000), ("0s", 0)],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "10", "1d", "-5m", "1.5h", "30m1h", " 5m", "5m\n", "5 m", "\u0661h"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write a duration"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_a_formatted_duration_reads_back_the_same(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("value", "text"), [(timedelta(hours=720), "720h"), (timedelta(minutes=90), "1h30m"), (timedelta(), "0s")]
)
def test_a_duration_is_written_in_its_shortest_form(value: timedelta, text: str) -> None:
    assert format_duration(value) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", "2"),
        ("500m", "0.5"),
        ("1.5", "1.5"),
        ("4Gi", "4294967296"),
        ("4G", "4000000000"),
        ("1e9", "1000000000"),
        ("1E", "1000000000000000000"),
        ("1E2", "100"),
        ("1Ki", "1024"),
        ("1k", "1000"),
    ],
)
def test_quantities_are_read_as_kubernetes_does(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "4GB", "1 Gi", "-1", "Gi", "1ki", "1K", "1.5.2", "0x10"])
def test_anything_else_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="write a Kubernetes quantity"):
        parse_quantity(text)
