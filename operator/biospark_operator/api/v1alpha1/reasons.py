"""The reasons of conditions: one constant each, with what it means and what the user should do.

Every condition, Event and outcome takes its reason from here. To add one, add a member: the reference page
`docs/reference/conditions.md` is generated from this table.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition has its status: `NAME = (value, meaning, what the user should do)`."""

    meaning: str
    action: str

    def __new__(cls, value: str, meaning: str, action: str) -> "Reason":
        """A string that also carries its documentation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.action = action
        return member

    # Life of an environment
    SUCCEEDED = ("Succeeded", "Everything is as the spec wants it.", "Nothing.")
    PROGRESSING = ("Progressing", "Changes are being made.", "Wait; the message says what is done.")
    PROGRESSING_WITH_RETRY = (
        "ProgressingWithRetry",
        "An attempt failed and is repeated by itself.",
        "Wait; if it does not end, remove the cause that the message names.",
    )
    DEPENDENCY_NOT_READY = (
        "DependencyNotReady",
        "Another part of the environment has to be ready first.",
        "Look at the condition of the part that the message names.",
    )
    SUSPENDED = (
        "Suspended",
        "`spec.suspend` is true: nothing is done.",
        "Set `spec.suspend` to false to go on.",
    )
    DELETING = (
        "Deleting",
        "The environment is being deleted.",
        "Wait; the message says what is still there.",
    )
    PLAN_ONLY = (
        "PlanOnly",
        "`spec.mode` is Plan: differences are reported and not repaired.",
        "Read `status.plan`, and set `spec.mode` to Apply to carry it out.",
    )
    PLAN_READY = (
        "PlanReady",
        "The plan of this generation is complete.",
        "Read `status.plan`, and set `spec.mode` to Apply to carry it out.",
    )

    # The spec
    INVALID_SPEC = ("InvalidSpec", "The spec breaks a rule.", "Correct the fields that the message names.")
    UNSUPPORTED_FEATURE = (
        "UnsupportedFeature",
        "The spec asks for something that this version of the operator does not manage.",
        "Remove the fields that the message names, or install a version that manages them.",
    )
    INVALID_WAIVER = (
        "InvalidWaiver",
        "A waiver ends more than 90 days ahead.",
        "Bring `expiresAt` of the waiver that the message names within 90 days.",
    )
    LIMIT_EXCEEDED = (
        "LimitExceeded",
        "The spec goes beyond what `platform.limits` of the operator allows.",
        "Write what the message says, or have the administrator of the operator raise the limit that it names.",
    )
    PLATFORM_SETTING_MISSING = (
        "PlatformSettingMissing",
        "A value is neither in the spec nor among the platform settings of the operator.",
        "Write the field that the message names, or set it for the operator.",
    )

    # Objects in the cluster
    NAMESPACE_CONFLICT = (
        "NamespaceConflict",
        "Another environment, the older one, uses the same namespace.",
        "Delete this environment and create it with another `spec.namespace.name`.",
    )
    NAMESPACE_TERMINATING = (
        "NamespaceTerminating",
        "The namespace is being deleted.",
        "Wait until it is gone; look for finalizers in it if it stays.",
    )
    NAMESPACE_REFUSED = (
        "NamespaceRefused",
        "The namespace belongs to Kubernetes or to the operator itself.",
        "Create the environment with another `spec.namespace.name`.",
    )
    NOT_OWNED = (
        "NotOwned",
        "An object exists already and is not marked as this environment's.",
        "Do what the message says: it depends on what the object is whether it can be taken over with "
        "`spec.adoptionPolicy: IfUnowned`.",
    )
    FIELD_CONFLICT = (
        "FieldConflict",
        "Another field manager sets a field that the environment sets differently.",
        "Let the manager that the message names give up the field.",
    )
    DRIFT_CONTESTED = (
        "DriftContested",
        "Somebody changes an object back as often as the operator repairs it.",
        "Stop the field manager that the message names from setting the field, or change the environment.",
    )
    SECRETS_EXPOSED = (
        "SecretsExposed",
        "Somebody added a container to the API's Deployment that reads its secrets.",
        "Remove the container that the message names.",
    )
    ACCESS_DENIED = (
        "AccessDenied",
        "The operator lacks a right.",
        "Grant the right that the message names to the operator's service account.",
    )
    INVALID = (
        "Invalid",
        "The API server rejected an object.",
        "Correct the field that the message names; a policy of the cluster may be in the way.",
    )
    STALLED = (
        "Stalled",
        "The controller of an object says that it makes no progress.",
        "Correct what the message says; it repeats that controller's own words.",
    )
    DEFINITION_MISSING = (
        "DefinitionMissing",
        "The cluster does not have a kind that this part of the environment is made of.",
        "Install the definition that the message names, or turn this part off.",
    )
    SERVER_UNAVAILABLE = (
        "ServerUnavailable",
        "A server did not answer or asked to try later.",
        "Wait; if it does not end, look at the server that the message names.",
    )

    # Secrets of the operator's namespace
    SECRET_USE_REFUSED = (
        "SecretUseRefused",
        "A Secret of the operator's namespace may not be used for this: it says itself for which servers and in which "
        "environments it may be, and how safe the connection has to be.",
        "Choose a Secret that may, or have an administrator of that namespace write the annotation that the message "
        "names.",
    )

    # Image pull secrets
    PULL_SECRET_NOT_FOUND = (
        "PullSecretNotFound",
        "The Secret in `spec.registry.pullSecretRef` does not exist in the operator's namespace.",
        "Create it there, or correct the name.",
    )
    PULL_SECRET_INVALID = (
        "PullSecretInvalid",
        "The Secret in `spec.registry.pullSecretRef` is not of type `kubernetes.io/dockerconfigjson`.",
        "Create it with `kubectl create secret docker-registry`.",
    )

    # The database
    DATABASE_SECRET_INVALID = (
        "DatabaseSecretInvalid",
        "A Secret that `spec.database.server` refers to does not exist in the operator's namespace, or lacks a key.",
        "Create or correct the Secret that the message names.",
    )
    DATABASE_LOGIN_REFUSED = (
        "DatabaseLoginRefused",
        "The PostgreSQL server does not let the operator in.",
        "Correct user and password in the Secret, or the server's pg_hba.conf.",
    )
    DATABASE_CERTIFICATE_REFUSED = (
        "DatabaseCertificateRefused",
        "No secure connection to the PostgreSQL server.",
        "Check `sslMode`, the server's certificate and the authority in `caSecretRef`.",
    )
    DATABASE_CONFLICT = (
        "DatabaseConflict",
        "Another environment uses the same database.",
        "Delete this environment and create it with another `spec.database.name`.",
    )
    DATABASE_INCOMPATIBLE = (
        "DatabaseIncompatible",
        "The server or the database has a property that is fixed and not what the environment needs.",
        "Move the data to a server or database as the message says.",
    )

    DATABASE_MISSING = (
        "DatabaseMissing",
        "A database that was there is gone, or what was in it is.",
        "Restore it, or correct the address of the server; the message says how to begin with an empty one.",
    )

    # Vault
    VAULT_UNREACHABLE = (
        "VaultUnreachable",
        "The Vault server does not answer.",
        "Wait; if it does not end, look at the server, its address, and what stands between.",
    )
    VAULT_CERTIFICATE_REFUSED = (
        "VaultCertificateRefused",
        "No secure connection to the Vault server.",
        "Correct what the message says: the address, the server's certificate, or the authority in `caSecretRef`.",
    )
    VAULT_SEALED = ("VaultSealed", "The Vault server is sealed.", "Unseal it.")
    VAULT_NOT_INITIALIZED = (
        "VaultNotInitialized",
        "The Vault server is new and not set up.",
        "Initialize and unseal it.",
    )
    VAULT_NO_LEADER = (
        "VaultNoLeader",
        "The address leads to a node that is not active and does not reach the active one.",
        "Look at the nodes of the Vault server, or let the address lead to the active one.",
    )
    VAULT_FAILING = (
        "VaultFailing",
        "The Vault server answers that it met a fault, as when it can't write its audit log.",
        "Read the server's log; make room where its audit log is.",
    )
    VAULT_QUOTA_EXCEEDED = (
        "VaultQuotaExceeded",
        "The operator asks the Vault server for more than a rate limit of it allows.",
        "Wait, or raise the quota of the server.",
    )
    VAULT_LOGIN_REFUSED = (
        "VaultLoginRefused",
        "The Vault server does not let the operator in.",
        "Look at the causes that the message names.",
    )
    VAULT_CLOCK_SKEW = (
        "VaultClockSkew",
        "The Vault server does not let the operator in, and their clocks differ.",
        "Set the clocks.",
    )
    VAULT_ROLE_MISSING = (
        "VaultRoleMissing",
        "The role that the operator logs in with does not exist.",
        "Create it, or correct `authRole`.",
    )
    VAULT_ACCESS_DENIED = (
        "VaultAccessDenied",
        "The operator lacks a right at the Vault server.",
        "Add the capability at the path that the message names to a policy of the operator's role.",
    )
    VAULT_MOUNT_INVALID = (
        "VaultMountInvalid",
        "The mount for secrets does not exist, or is not KV version 2.",
        "Correct the mount, or enable KV version 2 there.",
    )
    VAULT_NAMESPACE_MISSING = (
        "VaultNamespaceMissing",
        "The namespace does not exist at the Vault server.",
        "Correct the namespace, or create it.",
    )

    # The schema of the database
    MIGRATING = ("Migrating", "Migrations of the schema are being applied.", "Wait; the message says how far it is.")
    MIGRATION_FAILED = (
        "MigrationFailed",
        "A migration failed; nothing of it is left, and what was applied before stays.",
        "Remove the cause that the message names. It is tried again by itself.",
    )
    MIGRATIONS_PENDING = (
        "MigrationsPending",
        "`spec.database.migrations.policy` is Manual, and migrations are to be applied.",
        "Read the message, and set the policy to Automatic to apply them.",
    )
    MIGRATION_UNKNOWN = (
        "MigrationUnknown",
        "This version of the operator does not have the migration of `spec.database.migrations.target`.",
        "Correct the target, or install the version of the operator that has it.",
    )
    DATA_LOSS_REFUSED = (
        "DataLossRefused",
        "A migration destroys data, or may do so.",
        "Make a backup, then set `spec.database.migrations.allowDestructive` to true to let it run.",
    )
    MIGRATION_EDITED = (
        "MigrationEdited",
        "A migration that was applied is another one in this version of the operator.",
        "Install the version of the operator that applied it; never edit a migration that was released.",
    )
    SCHEMA_NEWER = (
        "SchemaNewer",
        "The schema was migrated by a newer version of the operator.",
        "Install that version, or a newer one.",
    )
    SCHEMA_DIFFERS = (
        "SchemaDiffers",
        "Somebody changed tables, indexes or agents of the schema by hand.",
        "Undo the differences that the message names.",
    )

    # Pods
    ROLLING_OUT = ("RollingOut", "New pods are being started.", "Wait.")
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        "A node can't pull the image.",
        "Check `spec.api.image` and `spec.registry.pullSecretRef`.",
    )
    CRASH_LOOPING = (
        "CrashLooping",
        "A container keeps ending.",
        "Read its log: `kubectl logs --previous` for the pod that the message names.",
    )
    QUOTA_EXCEEDED = (
        "QuotaExceeded",
        "The quota of the namespace leaves no room for the pods.",
        "Raise `spec.namespace.quota`, or lower replicas or resources.",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        "No node can take a pod.",
        "Add nodes, or lower `spec.api.resources`; the message has the scheduler's words.",
    )
    PROGRESS_DEADLINE_EXCEEDED = (
        "ProgressDeadlineExceeded",
        "A rollout made no progress for too long.",
        "Look at the pods of the Deployment that the message names.",
    )

    # Deletion
    DELETION_PROTECTED = (
        "DeletionProtected",
        "The environment was to be deleted and is protected.",
        "Set `spec.deletionProtection` to false to let the deletion go on.",
    )
    WAITING_FOR_DELETION = (
        "WaitingForDeletion",
        "An object was deleted and is still there.",
        "Wait; look at the finalizers of the object that the message names if it stays.",
    )

    INTERNAL_ERROR = (
        "InternalError",
        "The operator met a fault of its own.",
        "Report it with the operator's log; the environment is tried again.",
    )
