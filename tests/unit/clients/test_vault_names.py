"""What would not be stored as it was meant is refused before anything is sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.vault import names
from biospark_operator.engine.errors import RejectedError

Check = Callable[[str, str], str]
WILD = ["*", "a*", "+", "a/+/b", "{{identity}}", "a b", "a\n", "", "ä", "a%2e", "a?b", "a#b", 'a"b', "a\\b"]


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (names.path, "biospark/prod"),
        (names.path, "biospark/v1.2/data_base"),
        (names.mount, "Team-A/secret"),
        (names.policy, "biospark-prod"),
        (names.role, "biospark-prod"),
        (names.account, "biospark-api"),
        (names.audience, "vault"),
        (names.audience, "https://kubernetes.default.svc"),
        (names.cidr, "10.0.0.0/8"),
        (names.cidr, "fd00::/8"),
    ],
)
def test_what_is_stored_as_it_is_passes(check: Check, good: str) -> None:
    assert check(good, "field") == good


def refused(check: Check, text: str) -> str:
    with pytest.raises(RejectedError) as caught:
        check(text, "spec.field")
    assert caught.value.reason == Reason.INVALID_SPEC
    return caught.value.message


@pytest.mark.parametrize("check", [names.path, names.mount, names.policy, names.role, names.account, names.audience])
@pytest.mark.parametrize("text", WILD)
def test_wildcards_templates_and_what_an_url_reads_are_refused_everywhere(check: Check, text: str) -> None:
    assert refused(check, text).startswith("spec.field: write")


@pytest.mark.parametrize("check", [names.path, names.mount])
@pytest.mark.parametrize("text", [".", "..", "a/../b", "a/./b", "../a", "a/..", "a//b", "/a", "a/", "a/.b", "a./b"])
def test_segments_that_lead_elsewhere_are_refused(check: Check, text: str) -> None:
    refused(check, text)


@pytest.mark.parametrize("check", [names.path, names.policy, names.role, names.account])
def test_upper_case_that_a_server_would_change_is_refused(check: Check) -> None:
    refused(check, "Biospark")


@pytest.mark.parametrize("text", ["root", "default", "response-wrapping", "control-group"])
def test_policies_of_the_server_itself_are_refused(text: str) -> None:
    refused(names.policy, text)


@pytest.mark.parametrize("text", ["10.0.0.300/8", "10.0.0.1/8", "10.0.0.0/33", "::/129", "prod", "", "10.0.0.0/8 "])
def test_ranges_that_a_server_would_drop_or_change_are_refused(text: str) -> None:
    refused(names.cidr, text)


@given(st.text(max_size=40))
def test_a_path_that_passes_stays_what_it_is_in_an_url(text: str) -> None:
    try:
        path = names.path(text, "field")
    except RejectedError:
        return
    assert path == path.lower()
    assert all(segment.strip(".") == segment and segment for segment in path.split("/"))
    assert path.isascii()
