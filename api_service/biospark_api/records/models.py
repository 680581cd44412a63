"""What clients send and get about health records."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from biospark_api.fields import Input, JsonObject, Moment, PastMoment, Word
from biospark_api.http.paging import Cursor, Limit, Page

_EXAMPLE: dict[str, Any] = {
    "record_type": "vital_signs",
    "data": {"heart_rate": 72, "blood_pressure": {"systolic": 120, "diastolic": 80}},
    "recorded_at": "2025-01-01T11:58:00Z",
}


class NewRecord(Input):
    """A health record to create."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    record_type: Word = Field(description="Kind of the record.")
    data: JsonObject = Field(description="What was recorded; any JSON object, nested at most 32 levels deep.")
    recorded_at: PastMoment = Field(description="When it was recorded; RFC 3339 with an offset from UTC.")


class RecordPage(Page):
    """Which records of a patient."""

    type: Word | None = Field(default=None, description="Only records of this kind.")
    since: Moment | None = Field(default=None, description="Only records from this moment on.")
    until: Moment | None = Field(default=None, description="Only records before this moment.")


MAX_SOUGHT = 100
"""Most members and items, at all depths, of what a search looks for. PostgreSQL looks each up in an index, and in
older releases can't be interrupted while it compares thousands.
"""


def _few(data: dict[str, Any]) -> dict[str, Any]:
    left = MAX_SOUGHT
    inside: list[dict[str, Any] | list[Any]] = [data]
    while inside:
        value = inside.pop()
        left -= len(value)
        if left < 0:
            raise PydanticCustomError("sought", f"Input should have at most {MAX_SOUGHT} members and items in all")
        inside += [
            each for each in (value.values() if isinstance(value, dict) else value) if isinstance(each, dict | list)
        ]
    return data


class RecordSearch(Input):
    """What to look for; all that is given must match."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"type": "vital_signs", "data": {"blood_pressure": {"systolic": 120}}}]}
    )

    data: Annotated[JsonObject, AfterValidator(_few)] | None = Field(
        default=None,
        description="What `data` must contain, as PostgreSQL's `@>` has it; at most 100 members and items in all.",
    )
    type: Word | None = Field(default=None, description="Only records of this kind.")
    since: Moment | None = Field(default=None, description="Only records from this moment on.")
    until: Moment | None = Field(default=None, description="Only records before this moment.")
    limit: Limit = Field(default=50, description="Most records of the answer.")
    cursor: Cursor | None = Field(default=None, description="`next_cursor` of the page before.")


class Record(BaseModel):
    """A health record."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0d5a7a9e-6c0f-4a44-8a5f-2f1f6ad3f5c2",
                    "patient_id": "6f1c2a52-4d0e-4c56-9f0a-9a4de5a0f3b1",
                    **_EXAMPLE,
                    "created_at": "2025-01-01T12:00:00.123456Z",
                }
            ]
        }
    )

    id: str = Field(json_schema_extra={"format": "uuid"})
    patient_id: str = Field(json_schema_extra={"format": "uuid"})
    record_type: str
    data: dict[str, Any]
    recorded_at: str = Field(json_schema_extra={"format": "date-time"})
    created_at: str | None = Field(json_schema_extra={"format": "date-time"})


class RecordsFound(BaseModel):
    """One page of a search."""

    items: list[Record]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last.")
