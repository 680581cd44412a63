"""What the API is told by its environment: variables of its container, and where files of Secrets are. Pure.

Values that are secret or change come from files, which the API reads again: no variable holds one. So a new signing
key does not replace the pods, and should not: a pod that takes up a new key goes on accepting the one it had, which a
new pod would not know.
"""

from __future__ import annotations

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.effective_spec import EffectiveDatabaseServer
from biospark_operator.api.v1alpha1.spec import Profile
from biospark_operator.clients.postgres.address import SSL_MODES
from biospark_operator.components.database import credentials, sizing, wanted
from biospark_operator.components.handover import DATABASE_LOGIN
from biospark_operator.components.names import API_PORT, METRICS_PORT
from biospark_operator.components.secrets import component as secrets
from biospark_operator.engine.component import Environment

LOG_LEVELS = {Profile.DEVELOPMENT: "debug", Profile.STAGING: "info", Profile.PRODUCTION: "info"}
#: Profiles whose API tells nobody who asks what there is to call.
WITHOUT_DOCS = {Profile.PRODUCTION}
#: Where Secrets are in the container, one file for each of their keys.
DATABASE_PATH, SECRETS_PATH = credentials.MOUNTED_AT, "/etc/biospark/secrets"
#: Secrets by the path at which they are mounted, where the environment has a database.
MOUNTED = {DATABASE_PATH: DATABASE_LOGIN.credential, SECRETS_PATH: secrets.SECRET}
#: Connections of one replica, which is one process, at most: more don't make it faster.
POOL_SIZE = 12


def settings(env: Environment, platform: Platform) -> dict[str, str]:
    """Return the settings of the API, without the prefix of their names."""
    public = {"PUBLIC_URL": f"https://{env.spec.host}"} if env.spec.host else {}
    server = env.spec.database.server
    return {
        "ENVIRONMENT": env.name,
        **public,
        # Of either family: the pod's own addresses are not known beforehand.
        "HOST": "::",
        "PORT": str(API_PORT),
        "METRICS_PORT": str(METRICS_PORT),
        "LOG_LEVEL": LOG_LEVELS[env.spec.profile],
        **({"DOCS": "false"} if env.spec.profile in WITHOUT_DOCS else {}),
        # The API goes on serving while it reports itself as not ready, so no preStop hook has to wait.
        "DRAIN_SECONDS": str(platform.drain_seconds),
        "SHUTDOWN_SECONDS": str(platform.shutdown_seconds),
        **_proxies(platform),
        **(
            {} if server is None else {**_database(env, server), **_tokens(env), **_administrator(env), **_erasure(env)}
        ),
    }


def _proxies(platform: Platform) -> dict[str, str]:
    addresses = ",".join(str(network) for network in platform.network.gateway.addresses)
    return {"TRUSTED_PROXIES": addresses} if addresses else {}


def _database(env: Environment, server: EffectiveDatabaseServer) -> dict[str, str]:
    authority = {"DATABASE_CA_PATH": f"{DATABASE_PATH}/ca.crt"} if server.ca_secret_ref else {}
    return {
        "DATABASE_HOST": server.host,
        "DATABASE_PORT": str(server.port),
        "DATABASE_NAME": env.spec.database.name,
        "DATABASE_SSL_MODE": SSL_MODES[server.ssl_mode],
        **authority,
        "DATABASE_USER_FILE": f"{DATABASE_PATH}/username",
        "DATABASE_PASSWORD_FILE": f"{DATABASE_PATH}/password",
        "DATABASE_POOL_SIZE": str(pool_size(env)),
    }


def _tokens(env: Environment) -> dict[str, str]:
    return {
        "TOKEN_KEY_FILE": f"{SECRETS_PATH}/{secrets.TOKEN_KEY}",
        "TOKEN_OTHER_KEYS_FILE": f"{SECRETS_PATH}/{secrets.PUBLIC_KEYS}",
        "TOKEN_LIFETIME_SECONDS": str(int(env.spec.api.token_lifetime.total_seconds())),
    }


def _administrator(env: Environment) -> dict[str, str]:
    if env.spec.api.bootstrap_admin is None:
        return {}
    return {
        "BOOTSTRAP_ADMIN_EMAIL": env.spec.api.bootstrap_admin.email,
        "BOOTSTRAP_ADMIN_PASSWORD_FILE": f"{SECRETS_PATH}/{secrets.ADMIN_PASSWORD}",
    }


def _erasure(env: Environment) -> dict[str, str]:
    days = env.spec.api.erase_deleted_days
    return {} if days is None else {"ERASE_DELETED_DAYS": str(days)}


def pool_size(env: Environment) -> int:
    """Return the connections that each replica may open, so that all of them together fit the database's limit."""
    limit = env.spec.database.connection_limit
    if limit is None:
        return POOL_SIZE
    return max(1, min(POOL_SIZE, wanted.shares(limit).login // sizing.replicas_at_once(env)))
