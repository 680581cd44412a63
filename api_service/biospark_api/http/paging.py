"""Pages of a list: limit and offset, a cursor for deep pages, links to the next one, and counts.

An offset makes the server walk over all that it skips; a cursor names the last row seen and finds the next by
index, as fast on the last page as on the first. Links are relative, so that they work behind any path prefix.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from biospark_api.database.connection import Row
from biospark_api.fields import Filter

MAX_LIMIT = 200
MAX_OFFSET = 1_000_000

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def encode_cursor(*position: str) -> str:
    """An opaque text for the position after a row."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> tuple[str, str]:
    """The moment and id of a row; raises ValueError for what `encode_cursor` did not make."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        moment, row = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        ours = _MOMENT.fullmatch(moment) and _UUID.fullmatch(row)
    except (binascii.Error, UnicodeDecodeError, ValueError, TypeError, RecursionError):
        ours = None
    if not ours:
        raise ValueError("not a cursor")
    return moment, row


def _ours(cursor: str) -> str:
    try:
        decode_cursor(cursor)
    except ValueError:
        raise PydanticCustomError("cursor", "Input should be a cursor of a Link header") from None
    return cursor


Cursor = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+$"), AfterValidator(_ours)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]


class Page(Filter):
    """Which part of a list."""

    limit: Limit = Field(default=50, description="Most items of the answer.")
    cursor: Cursor | None = Field(
        default=None, description="Go on after the page whose `Link` header, `rel=next`, had this cursor."
    )

    @cached_property
    def given(self) -> str:
        """The query string of the same page without where it begins."""
        begin = {"offset", "count", "cursor"}
        return urlencode(self.model_dump(mode="json", exclude_none=True, exclude=begin, by_alias=True))

    def after(self) -> dict[str, str | None]:
        """The position to go on after, as parameters of a query."""
        moment, row = decode_cursor(self.cursor) if self.cursor else (None, None)
        return {"after_moment": moment, "after_id": row}


class OffsetPage(Page):
    """A page that may also be given by its offset."""

    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = Field(
        default=0, description="Items to skip. Slow when large; use `cursor` to go deep. Not together with `cursor`."
    )
    count: Literal["exact", "estimate"] | None = Field(
        default=None,
        description="Also tell how many items there are, in `X-Total-Count`. `exact` reads the whole table, "
        "`estimate` only its statistics.",
    )


@lru_cache(maxsize=256)  # one for each choice of filters
def bounded(columns: str, document: str, source: str, order: str) -> str:
    """A query for a page that ends before its documents have more than `page_bytes`, or at its limit.

    Its rows are those of the page, in which the first always is, and one more if there is a next page: without its
    document where that does not fit. The other parameters are `limit`, and those of `source`.
    """
    kept = f"CASE WHEN bytes <= %(page_bytes)s THEN {document} END AS {document}"
    shown = ", ".join(kept if column == document else column for column in columns.split(", "))
    # What is stored in so many bytes is not written out to be measured: a page of megabytes would take seconds.
    return f"""
    SELECT {shown}, bytes <= %(page_bytes)s AS fits FROM (
        SELECT *, sum(size) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS bytes FROM (
            SELECT *, CASE WHEN sum(stored) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) - stored > %(page_bytes)s
                      THEN %(page_bytes)s
                      ELSE least(coalesce(octet_length({document}::text), 0), %(page_bytes)s) END AS size
            FROM (
                SELECT {columns}, coalesce(pg_column_size({document}), 0) AS stored
                FROM {source} ORDER BY {order} LIMIT %(limit)s
            ) AS found
        ) AS measured
    ) AS page WHERE bytes - size <= %(page_bytes)s ORDER BY {order}
    """  # noqa: S608 - names of columns and conditions, which are constants of the code


def cut(rows: Sequence[Row], limit: int, moment: str) -> tuple[Sequence[Row], str | None]:
    """The rows of a page, of those that were found, and the cursor of the next page. If there is a next page, one row
    more was found. `moment` is the column that they are ordered by.
    """
    if len(rows) <= limit and (not rows or getattr(rows[-1], "fits", True)):
        return rows, None
    page = rows[:-1]
    return page, encode_cursor(getattr(page[-1], moment), page[-1].id)


def next_link(given: str, position: str | None) -> dict[str, str]:
    """The Link header of a page, if there is a next one: where that begins, besides what was `given` for this one."""
    return {"Link": f'<?{given}&{position}>; rel="next"'} if position else {}


def link_by_cursor(page: Page, cursor: str | None) -> dict[str, str]:
    """The same by cursor."""
    return next_link(page.given, cursor and f"cursor={cursor}")
