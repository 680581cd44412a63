"""The quality gates, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from biospark_operator.api.v1alpha1.gates import GateName as N
from biospark_operator.api.v1alpha1.status import GateCategory
from biospark_operator.gates import evidence as e
from biospark_operator.gates.gate import Gate, Threshold
from biospark_operator.gates.policies import documentation, performance, security, technical

_TECHNICAL, _SECURITY = GateCategory.TECHNICAL, GateCategory.SECURITY
_PERFORMANCE, _DOCUMENTATION = GateCategory.PERFORMANCE, GateCategory.DOCUMENTATION

_NONE = Threshold()
_NO_DIFFERENCES = Threshold(unit="differences")
_API = Threshold("<=", "ms", "api_latency_milliseconds")
_HOURS = Threshold(">=", "h", "certificate_minimum_hours")
_RATE = Threshold(">=", "requests/min", "gateway_requests_per_minute")
_QUERY = Threshold("<=", "ms", "database_latency_milliseconds")
_START = Threshold("<=", "s", "startup_seconds")
_MEMORY = Threshold("<=", "% of the limit", "memory_percent")
_CPU = Threshold("<=", "% of the limit", "cpu_percent")

# fmt: off
GATES: tuple[Gate, ...] = (
    Gate(N.INFRASTRUCTURE_DEPLOYED, _TECHNICAL, "Is every enabled component ready?",
         e.Components, _NONE, technical.infrastructure_deployed),
    Gate(N.SCHEMA_MATCHES, _TECHNICAL, "Is the live schema the one of the model?",
         e.LiveSchema, _NO_DIFFERENCES, technical.schema_matches),
    Gate(N.API_LATENCY, _TECHNICAL, "Does the API answer fast enough?",
         e.RequestTimes, _API, technical.api_latency),
    Gate(N.AUTHENTICATION_WORKS, _TECHNICAL, "Are good tokens accepted, and all others refused?",
         e.Attempts, _NONE, technical.authentication_works),
    Gate(N.BASELINE_SECURITY, _TECHNICAL, "Do pods and HTTP answers follow the security baseline?",
         e.Hardening, _NONE, technical.baseline_security),

    Gate(N.SECRETS_IN_VAULT, _SECURITY, "Are all secrets in Vault, and out of everybody else's reach?",
         e.VaultSecrets, _NONE, security.secrets_in_vault),
    Gate(N.CERTIFICATE_VALID, _SECURITY, "Is the served certificate valid, and for long enough?",
         e.Certificate, _HOURS, security.certificate_valid),
    Gate(N.NETWORK_ISOLATED, _SECURITY, "Do exactly the intended connections get through?",
         e.Connections, _NONE, security.network_isolated),
    Gate(N.ACCESS_LEAST_PRIVILEGE, _SECURITY, "Has everybody the intended rights, and no others?",
         e.AccessReviews, _NONE, security.access_least_privilege),
    Gate(N.NO_HARDCODED_CREDENTIALS, _SECURITY, "Are live objects free of credentials?",
         e.CredentialScan, _NONE, security.no_hardcoded_credentials),

    Gate(N.GATEWAY_THROUGHPUT, _PERFORMANCE, "Does the gateway carry the wanted rate?",
         e.Throughput, _RATE, performance.gateway_throughput),
    Gate(N.DATABASE_LATENCY, _PERFORMANCE, "Does the database answer fast enough?",
         e.QueryTimes, _QUERY, performance.database_latency),
    Gate(N.STARTUP_TIME, _PERFORMANCE, "Do new pods become ready fast enough?",
         e.Startup, _START, performance.startup_time),
    Gate(N.MEMORY_WITHIN_LIMITS, _PERFORMANCE, "Does the API keep within its memory?",
         e.MemoryUse, _MEMORY, performance.memory_within_limits),
    Gate(N.CPU_UTILIZATION, _PERFORMANCE, "Has the API processor time to spare?",
         e.CpuUse, _CPU, performance.cpu_utilization),

    Gate(N.INFRASTRUCTURE_DOCUMENTED, _DOCUMENTATION, "Is this environment's infrastructure described?",
         e.InfrastructurePage, _NONE, documentation.infrastructure_documented),
    Gate(N.API_DOCUMENTED, _DOCUMENTATION, "Does the API describe all its operations?",
         e.OpenApi, _NONE, documentation.api_documented),
    Gate(N.SECURITY_DOCUMENTED, _DOCUMENTATION, "Are the security measures described?",
         e.SecurityPage, _NONE, documentation.security_documented),
    Gate(N.TROUBLESHOOTING_DOCUMENTED, _DOCUMENTATION, "Is it described what to do about each failure?",
         e.TroubleshootingPage, _NONE, documentation.troubleshooting_documented),
    Gate(N.RUNBOOKS_AVAILABLE, _DOCUMENTATION, "Has every alert a runbook?",
         e.Runbooks, _NONE, documentation.runbooks_available),
)
# fmt: on

BY_NAME: Mapping[N, Gate] = MappingProxyType({gate.name: gate for gate in GATES})
