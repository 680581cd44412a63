"""The operations on agents."""

from starlette.responses import Response

from biospark_api.agents import queries
from biospark_api.agents.models import Agent, AgentChange, AgentPage
from biospark_api.http.calls import Call, Operations, answer
from biospark_api.http.contract import Contract
from biospark_api.http.paging import cut, link_by_cursor
from biospark_api.http.preconditions import expected_versions, refuse_change, tagged, tagged_if_changed
from biospark_api.security.permissions import Permission

agents = Operations("/api/v1/agents", "agents")

_LIST = Contract("List agents", answer=list[Agent], query=AgentPage, gives=("Link",))
_GET = Contract("Get an agent", answer=Agent, takes=("If-None-Match",), gives=("ETag",))
_CHANGE = Contract(
    "Change an agent",
    answer=Agent,
    body=AgentChange,
    takes=("If-Match",),
    gives=("ETag",),
    media_types=("application/merge-patch+json", "application/json"),
)


@agents.add("GET", "", "agents.list", Permission.READ_AGENTS, _LIST)
async def list_agents(call: Call) -> Response:
    """The newest first."""
    page = call.query(AgentPage)
    filters = {"type": page.type, "status": page.status, **page.after()}
    size = {"limit": page.limit + 1, "page_bytes": call.services.settings.max_page_bytes}
    rows, following = cut(await queries.page(call.services.pool, {**filters, **size}), page.limit, "created_at")
    return answer(call.showing(rows), headers=link_by_cursor(page, following))


@agents.add("GET", "/{agent_id}", "agents.get", Permission.READ_AGENTS, _GET)
async def get_agent(call: Call) -> Response:
    """With its configuration."""
    call.target = call.id("agent_id")
    async with call.services.pool.connection() as connection:
        row = await queries.get(connection, call.target)
    return tagged_if_changed(call, row)


@agents.add("PATCH", "/{agent_id}", "agents.change", Permission.WRITE_AGENTS, _CHANGE)
async def change_agent(call: Call) -> Response:
    """Status and configuration. What the body leaves out stays."""
    change = await call.body(AgentChange)
    call.target = call.id("agent_id")
    values, versions = change.model_dump(exclude_unset=True), expected_versions(call)
    async with call.services.pool.connection() as connection:
        row = await queries.change(connection, call.target, values, versions, call.entry())
        if row is None:
            raise refuse_change(await queries.get(connection, call.target))
    return tagged(row)
