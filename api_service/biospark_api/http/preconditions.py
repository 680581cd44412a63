"""Conditional requests (RFC 9110): strong ETags, If-Match against lost updates, If-None-Match against waste.

The tag of a resource is its version, a number that each change raises. Changes compare it in their SQL, so two
clients who read the same version cannot both write.
"""

import re
from collections.abc import Mapping

from starlette.responses import Response

from biospark_api.http.calls import Call
from biospark_api.http.problems import ProblemError

_TAG = re.compile(r'(?P<weak>W/)?"(?P<value>[^"]*)"')


def etag(version: int) -> str:
    """The tag of a version."""
    return f'"{version}"'


def expected_versions(call: Call) -> list[int] | None:
    """The versions that If-Match allows to be changed; None for any. Weak tags never match, as the RFC wants."""
    header = call.header(b"if-match")
    if header is None or header.strip() == "*":
        return None
    values = [tag["value"] for tag in _TAG.finditer(header) if not tag["weak"]]
    return [int(value) for value in values if re.fullmatch(r"[0-9]{1,9}", value)]


def unchanged(call: Call, version: int) -> bool:
    """Whether If-None-Match says that the client has this version."""
    header = call.header(b"if-none-match")
    if header is None:
        return False
    return header.strip() == "*" or str(version) in {tag["value"] for tag in _TAG.finditer(header)}


def not_modified(version: int) -> Response:
    """The 304 answer."""
    return Response(status_code=304, headers={"ETag": etag(version)})


def refuse_change(row: Mapping[str, object] | None) -> ProblemError:
    """Why a change met no row, told from the row that is there now: gone, deleted, or another version."""
    if row is None:
        return ProblemError(404, "There is no such resource.")
    if row.get("deleted"):
        return ProblemError(410, "The resource was deleted.")
    return ProblemError(412, "The resource was changed since it was read; read it again.")
