"""Reading the audit log."""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from biospark_api.audit import queries
from biospark_api.fields import Filter, Moment, Word
from biospark_api.http.calls import Call, Operations, answer
from biospark_api.http.contract import Contract
from biospark_api.http.paging import Limit, next_link
from biospark_api.security.permissions import Permission

audit = Operations("/api/v1/audit", "audit")

Uuid = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
_LARGEST = 2**63 - 1


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise PydanticCustomError("address", "Input should be an IP address") from None


Address = Annotated[str, Field(max_length=45), AfterValidator(_address)]


class AuditPage(Filter):
    """Which entries."""

    actor: Uuid | None = Field(default=None, description="Only what this user did.")
    target: Uuid | None = Field(default=None, description="Only what was done to this resource.")
    shown: Uuid | None = Field(default=None, description="Only lists and searches that showed this resource.")
    address: Address | None = Field(default=None, description="Only requests from this address.")
    action: Word | None = Field(default=None, description="Only this action, such as `patients.get`.")
    outcome: Literal["success", "denied", "failure"] | None = Field(default=None, description="Only this outcome.")
    since: Moment | None = Field(default=None, description="Only from this moment on.")
    until: Moment | None = Field(default=None, description="Only before this moment.")
    limit: Limit = Field(default=50, description="Most entries of the answer.")
    before: Annotated[int, Field(ge=1, le=_LARGEST)] | None = Field(
        default=None, description="Only entries with a smaller `id`; the `Link` header has it."
    )


class AuditEntry(BaseModel):
    """Who did what."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 4711,
                    "at": "2025-01-01T12:00:00.123456Z",
                    "actor": "3c7d9d8e-0f2b-4c7a-9a61-2b8f0f6f7a10",
                    "actor_role": "clinician",
                    "action": "records.list",
                    "target": "6f1c2a52-4d0e-4c56-9f0a-9a4de5a0f3b1",
                    "outcome": "success",
                    "status": 200,
                    "request_id": "0f8c1d1be1c94d7ab4b0f4a7e7cfe0a2",
                    "address": "192.0.2.17",
                    "shown": ["0d5a7a9e-6c0f-4a44-8a5f-2f1f6ad3f5c2"],
                }
            ]
        }
    )

    id: int
    at: str = Field(description="When it was written.", json_schema_extra={"format": "date-time"})
    actor: str | None = Field(description="The user; null before a login.", json_schema_extra={"format": "uuid"})
    actor_role: str | None
    action: str
    target: str | None = Field(description="What it was done to.", json_schema_extra={"format": "uuid"})
    outcome: Literal["success", "denied", "failure"]
    status: int | None = Field(description="The HTTP status of the answer.")
    request_id: str | None
    address: str | None = Field(description="Where the request came from, as far as trusted proxies tell.")
    shown: list[str] | None = Field(description="Ids of what a list or search showed; null for everything else.")


_LIST = Contract("Read the audit log", answer=list[AuditEntry], query=AuditPage, gives=("Link",))


@audit.add("GET", "", "audit.list", Permission.READ_AUDIT, _LIST)
async def list_audit(call: Call) -> Response:
    """The newest first. Reads appear within a second, changes with what they changed."""
    page = call.query(AuditPage)
    rows = await queries.entries(call.services.pool, page.model_dump(exclude={"limit"}), page.limit + 1)
    given = urlencode(page.model_dump(mode="json", exclude_none=True, exclude={"before"}))
    position = f"before={rows[page.limit - 1].id}" if len(rows) > page.limit else None
    return answer(rows[: page.limit], headers=next_link(given, position))
