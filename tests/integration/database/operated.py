"""One environment's database and an operator that does nothing but the passes over it that a test asks for.

PostgreSQL is real; Secrets and the Deployment are in a dictionary, and time goes as the test says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from biospark_operator.api.v1alpha1.environment import TAKE_OVER_FROM
from biospark_operator.clients.kubernetes.client import FIELD_MANAGER
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.clients.postgres.servers import Servers
from biospark_operator.components.database import credentials, marks
from biospark_operator.components.database.access import Access
from biospark_operator.components.database.component import DatabaseComponent, Quiet
from biospark_operator.components.database.names import Names
from biospark_operator.components.handover import DATABASE_LOGIN
from biospark_operator.components.outside import SERVERS
from biospark_operator.components.schema.comparisons import Comparisons
from biospark_operator.components.schema.component import SchemaComponent
from biospark_operator.components.schema.migration import Runs
from biospark_operator.components.secrets.store import KubernetesSecrets
from biospark_operator.engine.component import Environment, Removed
from biospark_operator.engine.convergence import Report, converge
from biospark_operator.engine.outcome import Progressing
from biospark_operator.objects import secret_data
from biospark_operator.runtime.leader import SoleReplica
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment
from tests.postgres import Site

OPERATOR_NAMESPACE = "biospark-system"
START = datetime(2026, 1, 1, tzinfo=UTC)


class SecretsCluster(FakeCluster):
    """Also says who applied which fields, as an API server does."""

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        stored = await super().apply(manifest, force=force, dry_run=dry_run)
        fields = {**manifest, "metadata": {k: v for k, v in manifest["metadata"].items() if k in _OWN}}
        tree = _tree({k: v for k, v in fields.items() if k not in ("apiVersion", "kind")})
        entry = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": tree}
        stored = {**stored, "metadata": {**stored["metadata"], "managedFields": [entry]}}
        self.objects[ObjectRef.of(stored)] = stored
        return stored


_OWN = frozenset({"labels", "annotations", "ownerReferences"})


def _tree(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {f"f:{key}": _tree(below) for key, below in value.items()}
    if isinstance(value, list):
        return {f"k:{json.dumps({'uid': item['uid']})}": _tree(item) for item in value}
    return {}


@dataclass
class Operated:
    """One environment on a site."""

    site: Site
    servers: Servers
    database: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    wishes: Mapping[str, Any] = field(default_factory=dict)
    cluster: SecretsCluster = field(default_factory=SecretsCluster)
    now: datetime = START
    annotations: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)
    environment_name: str = "dev"
    uid: str = ""
    quiet: Quiet = field(default_factory=Quiet)
    runs: Runs = field(default_factory=Runs)
    comparisons: Comparisons = field(default_factory=Comparisons)

    def __post_init__(self) -> None:
        values = {"username": self.site.admin, "password": self.site.password}
        self.give("admin", encoded(values))

    def give(self, name: str, data: Mapping[str, str], *servers: str) -> None:
        """Put a Secret into the operator's namespace that may be used for these servers, by default the site's."""
        self.hold("v1", "Secret", OPERATOR_NAMESPACE, name, data=data)
        self.annotate(name, SERVERS, ", ".join(servers or [f"{self.site.server.address}:{self.site.server.port}"]))

    def annotate(self, name: str, annotation: str, value: str | None) -> None:
        """Write an annotation of a Secret in the operator's namespace, or take it away."""
        ref = ObjectRef("v1", "Secret", OPERATOR_NAMESPACE, name)
        found = self.cluster.objects[ref]
        kept = {**found["metadata"].get("annotations", {}), annotation: value}
        said = {key: value for key, value in kept.items() if value is not None}
        self.cluster.objects[ref] = {**found, "metadata": {**found["metadata"], "annotations": said}}

    def hold(self, api_version: str, kind: str, namespace: str, name: str, **content: Any) -> None:
        """Put an object into the cluster."""
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-of-{name}"}
        manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}
        self.cluster.objects[ObjectRef.of(manifest)] = manifest

    @property
    def names(self) -> Names:
        """The names of the database and its roles."""
        return Names(self.database)

    @property
    def component(self) -> DatabaseComponent:
        """The component, on this test's clock."""
        return DatabaseComponent(
            Access(self.cluster, self.servers, OPERATOR_NAMESPACE), self.store, lambda: self.now, self.quiet
        )

    @property
    def store(self) -> KubernetesSecrets:
        """Where the credentials are."""
        return KubernetesSecrets(self.cluster, "database")

    @property
    def schema(self) -> SchemaComponent:
        """The component of the schema."""
        return SchemaComponent(self.component.access, self.runs, self.comparisons)

    @property
    def env(self) -> Environment:
        """The environment as it is specified."""
        server = {
            "host": self.site.server.address,
            "port": self.site.server.port,
            "sslMode": "Disable",
            "adminSecretRef": {"name": "admin"},
        }
        database = {"server": server, "name": self.database, **self.wishes}
        specified = environment(self.environment_name, database=database, **self.spec)
        identity = replace(
            specified.identity,
            uid=self.uid or specified.uid,
            predecessor=self.annotations.get(TAKE_OVER_FROM),
        )
        return replace(specified, identity=identity, annotations=self.annotations, status=self.status)

    async def run(self, *, apply: bool = True) -> Report:
        """Make one pass."""
        report = await converge(self.component, self.env, apply=apply, leadership=SoleReplica())
        self.status = {**self.status, **report.facts}
        return report

    async def run_schema(self, *, apply: bool = True) -> Report:
        """Make one pass over the schema."""
        report = await converge(self.schema, self.env, apply=apply, leadership=SoleReplica())
        told = {**self.status.get("database", {}), **report.facts.get("database", {})}
        self.status = {**self.status, "database": told}
        return report

    async def migrated(self) -> Report:
        """Make database and schema, which has to be done soon."""
        await self.settled()
        for _ in range(20):
            report = await self.run_schema()
            if not isinstance(report.outcome, Progressing):
                return report
            if (run := self.runs.get((self.env.uid, self.database))) is not None:
                await self.runs.wait(run)
        raise AssertionError(report.outcome)

    async def settled(self) -> Report:
        """Make passes until one does nothing, which has to be soon."""
        for _ in range(3):
            report = await self.run()
            if not report.done:
                return report
        raise AssertionError(f"does not settle: {[action.summary for action in report.done]}")

    async def stopped_after(self, actions: int) -> bool:
        """Begin a pass that is killed after a number of actions; say whether it was done before that."""
        component, env = self.component, self.env
        planned = component.plan(env, await component.observe(env))
        for action in planned[:actions]:
            await component.apply(env, action)
        return len(planned) <= actions

    async def remove(self, *, retain: bool = False, deleting: bool = True, orphans: bool = False) -> Removed:
        """Take one step of removal."""
        owner = replace(self.env.identity, retain=retain or orphans, deleting=deleting, orphans=orphans)
        return await self.component.remove(owner, self.component.targets(self.env))

    async def removed(self, *, retain: bool = False) -> Removed:
        """Remove until nothing is waited for, which has to be at once."""
        result = await self.remove(retain=retain)
        assert not result.waiting
        return result

    def pass_time(self, **delta: float) -> None:
        """Let time go by."""
        self.now += timedelta(**delta)

    def secret(self, name: str = credentials.APP_SECRET) -> dict[str, str]:
        """Return what a Secret of the environment holds."""
        ref = ObjectRef("v1", "Secret", self.env.spec.namespace.name, name)
        return dict(secret_data.texts(self.cluster.objects[ref]))

    def roll_out(self, *, finished: bool = True) -> None:
        """Let the pods of the API have the credentials of the moment, or with `finished` False begin to."""
        stamp = self.cluster.objects[ObjectRef("v1", "Secret", self.env.spec.namespace.name, credentials.APP_SECRET)][
            "metadata"
        ]["annotations"][DATABASE_LOGIN.annotation]
        template = {"metadata": {"annotations": {DATABASE_LOGIN.annotation: stamp}}}
        replicas = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": int(finished), "observedGeneration": 1}
        namespace = self.env.spec.namespace.name
        self.hold(
            "apps/v1", "Deployment", namespace, "biospark-api", spec={"replicas": 1, "template": template},
            status=replicas,
        )  # fmt: skip

    def offer(self, before: str = "", **mark: str) -> None:
        """Let the environment have the database, as its administrator does, after what its comment says already."""
        said = marks.PREFIX + json.dumps({"environment": self.environment_name, "origin": "Offered"} | mark)
        comment = sql.Literal("\n".join([before, said] if before else [said]))
        self.site.sql(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(self.database), comment))

    def as_app(self, statement: str, *params: object) -> list[tuple[object, ...]]:
        """Execute a statement as the API does."""
        held = self.secret()
        return self.site.sql(
            statement, *params, database=self.database, user=held["username"], password=held["password"]
        )

    def as_reader(self, statement: str) -> list[tuple[object, ...]]:
        """Execute a statement as a reader does."""
        held = self.secret(credentials.READER_SECRET)
        return self.site.sql(statement, database=self.database, user=held["username"], password=held["password"])

    def as_owner(self, statement: str) -> None:
        """Execute a statement as migrations do."""
        with self.site.connected(self.database) as connection:
            connection.execute(f'SET ROLE "{self.names.owner}"')  # type: ignore[arg-type]
            connection.execute(statement)  # type: ignore[arg-type]

    def replace_database(self, options: str = "") -> None:
        """Drop the database and make an empty one with its comment, as a restore from a dump begins."""
        comment = self.site.scalar(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", self.database
        )
        self.by_hand("DROP DATABASE {database} WITH (FORCE)")
        self.by_hand(f"CREATE DATABASE {{database}} OWNER {{owner}} {options} TEMPLATE template0")
        noted = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(self.database), sql.Literal(comment))
        self.site.sql(noted)

    def by_hand(self, statement: str, *, inside: bool = False) -> None:
        """Execute a statement as somebody else, with `{name}` for each of the names."""
        names = {key: f'"{getattr(self.names, key)}"' for key in ("database", "owner", "app", "migrator", "reader")}
        first, second = (f'"{login}"' for login in self.names.logins)
        text = statement.format(**names, app_1=first, app_2=second)
        self.site.sql(text, database=self.database if inside else "postgres")


def encoded(values: Mapping[str, str]) -> dict[str, str]:
    """Return the data of a Secret."""
    return {key: secret_data.encoded(value) for key, value in values.items()}
