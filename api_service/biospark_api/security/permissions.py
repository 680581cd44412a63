"""What each role may do: the whole table."""

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What a user is."""

    ADMIN = "admin"
    CLINICIAN = "clinician"
    AGENT = "agent"
    AUDITOR = "auditor"


class Permission(Enum):
    """What an operation needs."""

    OWN_SESSION = "own session"
    READ_PATIENTS = "read patients"
    WRITE_PATIENTS = "write patients"
    DELETE_PATIENTS = "delete patients"
    ERASE_PATIENTS = "erase patients"
    READ_RECORDS = "read health records"
    WRITE_RECORDS = "write health records"
    READ_AGENTS = "read agents"
    WRITE_AGENTS = "write agents"
    READ_USERS = "read users"
    WRITE_USERS = "write users"
    READ_AUDIT = "read the audit log"


_P = Permission

PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.ADMIN: frozenset(Permission),
        Role.CLINICIAN: frozenset(
            {_P.OWN_SESSION, _P.READ_PATIENTS, _P.WRITE_PATIENTS, _P.READ_RECORDS, _P.WRITE_RECORDS, _P.READ_AGENTS}
        ),
        # A program that analyses: it adds findings, and changes no master data.
        Role.AGENT: frozenset({_P.OWN_SESSION, _P.READ_PATIENTS, _P.READ_RECORDS, _P.WRITE_RECORDS, _P.READ_AGENTS}),
        # Sees who did what, and no health data.
        Role.AUDITOR: frozenset({_P.OWN_SESSION, _P.READ_AUDIT, _P.READ_USERS}),
    }
)
