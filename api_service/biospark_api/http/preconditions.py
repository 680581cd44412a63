"""Conditional requests (RFC 9110): strong ETags, If-Match against lost updates, If-None-Match against waste.

The tag of a resource is its version, a number that each change raises. Changes compare it in their SQL, so two
clients who read the same version cannot both write.
"""

import re
from collections.abc import Mapping

from psycopg.rows import DictRow
from starlette.responses import Response

from biospark_api.http.calls import Call, answer
from biospark_api.http.problems import ProblemError

_TAG = re.compile(r'(?P<weak>W/)?"(?P<value>[^"]*)"')


def tagged(row: DictRow, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a resource. Its `version` is not shown: it is the tag."""
    return answer(row, status, {"ETag": _etag(row.pop("version")), **(headers or {})})


def tagged_if_changed(call: Call, row: DictRow | None) -> Response:
    """The answer to a GET of a resource: 304 if the client has this version. Raises the problem where there is none,
    or it is `deleted`.
    """
    if row is None or row.pop("deleted", False):
        raise refuse_change(row and {"deleted": True})
    if _has(call, row["version"]):
        return Response(status_code=304, headers={"ETag": _etag(row["version"])})
    return tagged(row)


def _etag(version: int) -> str:
    return f'"{version}"'


def expected_versions(call: Call) -> list[int] | None:
    """The versions that If-Match allows to be changed; None for any. Weak tags never match, as the RFC wants."""
    header = call.header(b"if-match")
    if header is None or header.strip() == "*":
        return None
    values = [tag["value"] for tag in _TAG.finditer(header) if not tag["weak"]]
    return [int(value) for value in values if re.fullmatch(r"[0-9]{1,9}", value)]


def _has(call: Call, version: int) -> bool:
    header = call.header(b"if-none-match")
    if header is None:
        return False
    return header.strip() == "*" or str(version) in {tag["value"] for tag in _TAG.finditer(header)}


def refuse_change(row: Mapping[str, object] | None) -> ProblemError:
    """Why a change met no row, told from the row that is there now: gone, deleted, or another version."""
    if row is None:
        return ProblemError(404, "There is no such resource.")
    if row.get("deleted"):
        return ProblemError(410, "The resource was deleted.")
    return ProblemError(412, "The resource was changed since it was read; read it again.")
