"""What is to be done about a schema, and how far it is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from biospark_api.schema import API_PRIVILEGES, HEAD, READER_PRIVILEGES, Revision, edited, revisions, statements
from biospark_api.schema import missing_revisions as missing
from biospark_operator.api.v1alpha1.database import MigrationPolicy
from biospark_operator.api.v1alpha1.effective_spec import EffectiveDatabaseServer
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.components.database import existence
from biospark_operator.components.database.names import Names, database_id
from biospark_operator.components.database.statements import shown
from biospark_operator.components.schema.migration import Run
from biospark_operator.components.schema.state import Grant, Migrate, Note, Seen
from biospark_operator.engine.component import Action, Environment
from biospark_operator.engine.convergence import RUNNING_POLL
from biospark_operator.engine.outcome import Blocked, Outcome, Progressing, Ready

#: `target` that means the newest migration.
NEWEST = "head"
#: How many things a message lists.
LISTED = 10


def plan(env: Environment, server: EffectiveDatabaseServer, seen: Seen) -> list[Action]:
    """Return what is to be done: one action for each migration, and one for each role whose rights are wrong."""
    if seen.run is not None:
        return []
    target = database_id(server, env.spec.database.name)
    chosen = runnable(env, seen)
    actions = [
        Action(
            Verb.CREATE if seen.revision is None and revision is chosen[0] else Verb.UPDATE,
            target,
            f"migration {revision.name}: {' '.join(revision.sql.split())}",
            destructive=bool(revision.losses),
            routine=True,
            payload=Migrate(revision.name, chosen[-1].name),
        )
        for revision in chosen
    ]
    names = Names(env.spec.database.name)
    for role, wanted in ((names.app, API_PRIVILEGES), (names.reader, READER_PRIVILEGES)):
        if role in seen.rights and (repair := statements(role, wanted, seen.rights[role])):
            actions.append(Action(Verb.UPDATE, target, shown(repair), payload=Grant(tuple(repair))))
    if seen.revision is not None and seen.owner is not None and not seen.owner.filled:
        noting = f"note on the role {names.owner} that its database has a schema"
        actions.append(Action(Verb.UPDATE, target, noting, routine=True, payload=Note()))
    return actions


def runnable(env: Environment, seen: Seen) -> Sequence[Revision]:
    """Return the migrations to apply now: all that are pending up to the first that may not be."""
    wishes = env.spec.database.migrations
    if wishes.policy is MigrationPolicy.MANUAL:
        return ()
    due = list(pending(env, seen))
    refused = next((index for index, revision in enumerate(due) if _is_refused(env, revision)), len(due))
    return due[:refused]


def pending(env: Environment, seen: Seen) -> Sequence[Revision]:
    """Return the migrations that lead to the target; none where it is not known."""
    try:
        return missing(seen.revision, target(env))
    except LookupError:
        return ()


def target(env: Environment) -> str:
    """Return the migration that the environment wants."""
    wanted = env.spec.database.migrations.target
    return HEAD if wanted == NEWEST else wanted


def judge(env: Environment, seen: Seen) -> Outcome:
    """Say how far the schema is. What a human has to see to keeps the API from nothing where there are tables."""
    if seen.run is not None:
        return Progressing(Reason.MIGRATING, under_way(env, seen.run), RUNNING_POLL)
    if (held := _held_back(env, seen)) is not None:
        return held
    if due := pending(env, seen):
        return Progressing(Reason.MIGRATING, f"still to apply: {_names(due)}", RUNNING_POLL)
    if faults := _faults(seen):
        return _blocked(seen, Reason.SCHEMA_DIFFERS, f"{_schema(env)} was changed by hand: {_listed(faults)}")
    return Ready(Reason.SUCCEEDED, "; ".join([_success(env, seen), *_notes(seen)]))


def under_way(env: Environment, run: Run) -> str:
    """Say how far a run of migrations is."""
    done = f"applied {', '.join(run.applied)}; " if run.applied else ""
    if run.revision is None:
        return f"{_schema(env)}: {done}connecting, or waiting for a lock"
    return f"{_schema(env)}: {done}migration {run.revision} is under way since {run.since:%H:%M:%S} UTC"


def refusal(env: Environment, seen: Seen) -> Blocked | None:
    """Say why a schema must be left alone, or None: it is gone, or this version of the operator does not know it."""
    if seen.run is not None:
        return None
    if seen.revision is None and existence.was_emptied(env, seen.owner, seen.object_id):
        return _blocked(
            seen,
            Reason.DATABASE_MISSING,
            f"{_schema(env)} is gone: the database is there without the tables that it had; wait if it is being "
            "restored, or restore it; only where its data may be lost drop the database, and DatabaseReady says how to "
            "begin with an empty one",
        )
    known = [revision.name for revision in revisions()]
    if target(env) not in known:
        return _blocked(
            seen,
            Reason.MIGRATION_UNKNOWN,
            f"spec.database.migrations.target: there is no migration {target(env)} in this version of the operator; "
            f"write {NEWEST} or one of {', '.join(known)}",
        )
    if seen.revision is not None and seen.revision not in known:
        return _blocked(
            seen,
            Reason.SCHEMA_NEWER,
            f"{_schema(env)} is at migration {seen.revision}, which this version of the operator does not have; it "
            f"knows up to {known[-1]}; install the version that migrated it, or a newer one",
        )
    if changed := _edited(seen):
        return _blocked(
            seen,
            Reason.MIGRATION_EDITED,
            f"what was applied to {_schema(env)} as {', '.join(changed)} is not what this version of the operator has "
            "under that name; install the version that applied it",
        )
    return None


def _held_back(env: Environment, seen: Seen) -> Blocked | None:
    """Say why a human is needed before the next migration, or None where none is."""
    due = pending(env, seen)
    if due and env.spec.database.migrations.policy is MigrationPolicy.MANUAL:
        return _blocked(
            seen,
            Reason.MIGRATIONS_PENDING,
            f"to be applied to {_schema(env)}: {_names(due)}; set spec.database.migrations.policy: Automatic to do "
            "so, beforehand spec.mode: Plan to see the SQL",
        )
    losing = next((revision for revision in due if _is_refused(env, revision)), None)
    if losing is not None and losing is due[0]:
        return _blocked(
            seen,
            Reason.DATA_LOSS_REFUSED,
            f"migration {losing.name} of {_schema(env)} {_listed(losing.losses)}; make a backup, then set "
            "spec.database.migrations.allowDestructive: true to let it run",
        )
    return None


def _blocked(seen: Seen, reason: Reason, message: str) -> Blocked:
    """Return the call for a human. What has tables can be used meanwhile."""
    return Blocked(reason, message, usable=seen.revision is not None)


def _faults(seen: Seen) -> list[str]:
    compared = list(seen.comparison.faults) if seen.comparison is not None else []
    return [*compared, *(f"agent {name} is missing" for name in seen.missing_agents)]


def _notes(seen: Seen) -> list[str]:
    extras = seen.comparison.extras if seen.comparison is not None else ()
    return [_listed(extras)] if extras else []


def _success(env: Environment, seen: Seen) -> str:
    wanted = target(env)
    if seen.revision is not None and seen.revision > wanted:
        return f"{_schema(env)} is at migration {seen.revision}; there is no way back to {wanted}"
    if wanted != HEAD:
        return f"{_schema(env)} is at migration {wanted} as wanted; the newest is {HEAD}"
    return f"{_schema(env)} is at migration {wanted}, the newest, and as that made it"


def _is_refused(env: Environment, revision: Revision) -> bool:
    return bool(revision.losses) and not env.spec.database.migrations.allow_destructive


def _edited(seen: Seen) -> tuple[str, ...]:
    return edited(seen.history, {revision.name: revision.checksum for revision in revisions()})


def _schema(env: Environment) -> str:
    return f"the schema of database {env.spec.database.name}"


def _names(chosen: Sequence[Revision]) -> str:
    return ", ".join(revision.name for revision in chosen)


def _listed(things: Sequence[str]) -> str:
    more = f"; and {len(things) - LISTED} more" if len(things) > LISTED else ""
    return "; ".join(things[:LISTED]) + more
