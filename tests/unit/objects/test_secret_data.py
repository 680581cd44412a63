"""Values of Secrets: read by key, and what can't be read is as if it were not there."""

from __future__ import annotations

from typing import Any

import pytest

from biospark_operator.objects.secret_data import encoded, texts, values


def test_values_come_back_as_they_were_written() -> None:
    secret = {"data": {"text": encoded("grüße"), "bytes": encoded(b"\xff\x00"), "empty": ""}}
    assert values(secret) == {"text": "grüße".encode(), "bytes": b"\xff\x00", "empty": b""}
    assert texts(secret) == {"text": "grüße", "empty": ""}


@pytest.mark.parametrize("secret", [None, {}, {"data": None}, {"data": {"a": "?"}}, {"data": {"a": 1}}], ids=str)
def test_what_can_not_be_read_is_left_out(secret: Any) -> None:
    assert values(secret) == texts(secret) == {}
