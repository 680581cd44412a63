"""What clients send and get about agents."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from biospark_api.fields import Input, JsonObject, Word, absent
from biospark_api.http.paging import Page


class AgentPage(Page):
    """Which agents."""

    type: Word | None = Field(default=None, description="Only agents of this type.")
    status: Word | None = Field(default=None, description="Only agents with this status.")


class AgentChange(Input):
    """The fields of an agent to change; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "inactive"}]})

    status: Literal["active", "inactive"] = absent("Whether it is to work.")
    config: JsonObject | None = absent("Its whole configuration; `null` removes it.")


class Agent(BaseModel):
    """An agent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "b7a9e0f4-2c55-4b0f-8f6e-1a2b3c4d5e6f",
                    "name": "Analyst Agent",
                    "type": "analyst",
                    "config": {"version": "1.0", "capabilities": ["data_analysis", "reporting"]},
                    "status": "active",
                    "created_at": "2025-01-01T12:00:00.123456Z",
                    "updated_at": "2025-01-01T12:00:00.123456Z",
                }
            ]
        }
    )

    id: str = Field(json_schema_extra={"format": "uuid"})
    name: str
    type: str
    config: dict[str, Any] | None
    status: str | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str | None = Field(json_schema_extra={"format": "date-time"})
