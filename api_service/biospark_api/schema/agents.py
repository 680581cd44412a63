"""The agents that every database has: the first revision makes them, and nobody can delete them by the API."""

#: By type, the name of the agent.
DEFAULT_AGENTS = {
    "analyst": "Analyst Agent",
    "architect": "Architect Agent",
    "developer": "Developer Agent",
    "orchestrator": "Orchestrator Agent",
}
