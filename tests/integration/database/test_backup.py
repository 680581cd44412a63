"""The procedures of the page on backup and restore, with its commands word by word, on real servers.

The commands wait for conditions, so passes are made meanwhile. The names at the top of the page are those of a user;
the test has its own.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from biospark_operator.components.database import judge
from dev.cluster.postgres import MAJORS, SUPERUSER, Server
from tests.integration.conftest import OPERATOR_NAMESPACE, Kubectl, Operated
from tests.integration.database.test_environment import database, secret
from tests.postgres import Site, server

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[3] / "docs" / "backup.md"
ADMIN = "postgres-admin-of-backups"
PATIENT = "INSERT INTO patients (first_name, last_name, date_of_birth, email) VALUES ('A', %s, '2000-01-01', %s)"
NAMES = "SELECT last_name FROM patients ORDER BY 1"


def commands(mark: str) -> str:
    """Return the commands of the page below a mark."""
    (found,) = re.findall(rf"<!-- {mark} -->\n```bash\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return str(found)


def functions() -> str:
    """Return what the first restore of the page defines, without what it does."""
    return commands("restore").partition("\nsuspend true\n")[0] + "\n"


@dataclass
class Shell:
    """A user's shell, in a folder with the dumps, as the administrator of a site."""

    kubeconfig: str
    folder: Path
    env: Operated
    site: Site
    admin: str
    password: str

    def environment(self) -> dict[str, str]:
        programs = self.site.server.programs
        password = self.folder / "pgpass"
        password.write_text(f"*:*:*:*:{self.password}\n")
        password.chmod(0o600)
        return {
            "PATH": f"{programs}:{Path(sys.prefix) / 'bin'}:/usr/bin:/bin",
            "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
            "KUBECONFIG": self.kubeconfig,
            "HOME": str(self.folder),
            "environment": self.env.name,
            "database": f"{self.site.name}_db",
            "PGHOST": self.site.server.address,
            "PGPORT": str(self.site.server.port),
            "PGUSER": self.admin,
            "PGPASSFILE": str(password),
            "PGSSLMODE": "disable",
        }

    async def run(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a script, with passes over the environment while it runs."""
        process = asyncio.create_task(
            asyncio.to_thread(
                subprocess.run, ["bash", "-euo", "pipefail", "-c", script], env=self.environment(), cwd=self.folder,
                capture_output=True, text=True, check=False, timeout=300,
            )
        )  # fmt: skip
        while not process.done():
            if await self.env.reconciler.store.read(self.env.name) is not None:
                await self.env.run()
            await asyncio.wait([process], timeout=0.3)
        done = process.result()
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done

    async def until_ready(self) -> None:
        """Make passes until the schema is ready."""
        async with asyncio.timeout(60):
            while await self.env.told("SchemaReady") != ("True", "Succeeded"):
                await self.env.run()
                await asyncio.sleep(0.1)

    def sql(self, statement: str, *params: object) -> list[tuple[object, ...]]:
        return self.site.sql(statement, *params, database=f"{self.site.name}_db")

    def enter(self, name: str) -> None:
        """Write a patient."""
        self.sql(PATIENT, name, f"{name}@biospark.example")

    def patients(self) -> list[str]:
        return [str(name) for (name,) in self.sql(NAMES)]

    async def as_api(self) -> list[str]:
        """Return the patients that the API sees with its credentials."""
        held = await secret(self.env)
        rows = self.site.sql(NAMES, database=held["database"], user=held["username"], password=held["password"])
        return [str(name) for (name,) in rows]


def allow(kubectl: Kubectl, name: str, site: Site, *more: Server, admin: str) -> None:
    """Make the Secret of an administrator, usable for these servers."""
    literals = (f"--from-literal=username={admin}", f"--from-literal=password={site.password}")
    kubectl("create", "secret", "generic", name, "-n", OPERATOR_NAMESPACE, *literals)
    where = ",".join(f"{server.address}:{server.port}" for server in (site.server, *more))
    kubectl("annotate", "secret", name, "-n", OPERATOR_NAMESPACE, f"biospark.ai/servers={where}")


@asynccontextmanager
async def with_a_patient(
    kubeconfig: str, kubectl: Kubectl, env: Operated, site: Site, folder: Path
) -> AsyncIterator[Shell]:
    """Yield an environment with a patient, and a dump of its database."""
    name = f"{env.name}-admin"
    allow(kubectl, name, site, admin=site.admin)
    env.apply(database=database(site, name))
    opened = Shell(kubeconfig, folder, env, site, site.admin, site.password)
    await opened.until_ready()
    opened.enter("Before")
    await opened.run(commands("backup"))
    yield opened
    kubectl("delete", "secret", name, "-n", OPERATOR_NAMESPACE)


@pytest.fixture
async def shell(
    env: Operated, one_site: Site, kubeconfig: str, kubectl: Kubectl, tmp_path: Path
) -> AsyncIterator[Shell]:
    """A shell beside such an environment, on the newest server."""
    async with with_a_patient(kubeconfig, kubectl, env, one_site, tmp_path) as opened:
        yield opened


@pytest.fixture
async def old_shell(
    env: Operated, servers: dict[int, Server], kubeconfig: str, kubectl: Kubectl, tmp_path: Path
) -> AsyncIterator[Shell]:
    """A shell beside such an environment, on the oldest server."""
    with Site(servers[min(MAJORS)], superuser=False) as site:
        async with with_a_patient(kubeconfig, kubectl, env, site, tmp_path) as opened:
            yield opened


async def test_a_dump_takes_the_place_of_what_is_there(shell: Shell) -> None:
    shell.enter("After")
    shell.sql("CREATE TABLE of_a_later_release (id int)")
    shell.sql(f'ALTER TABLE of_a_later_release OWNER TO "{shell.site.name}_db_owner"')
    await shell.run(commands("restore"))
    assert shell.patients() == ["Before"]
    assert await shell.as_api() == ["Before"]
    assert shell.sql("SELECT 1 FROM pg_tables WHERE tablename = 'of_a_later_release'") == []
    await shell.env.run()
    assert await shell.env.told("DatabaseReady") == ("True", "Succeeded")
    assert await shell.env.told("SchemaReady") == ("True", "Succeeded")


async def test_nobody_reads_password_hashes_between_a_restore_and_the_next_pass(shell: Shell) -> None:
    await shell.run(functions() + "suspend true; replace database.dump")
    reader, app = (f"{shell.site.name}_db_{role}" for role in ("reader", "app"))
    may = "SELECT has_table_privilege(%s, 'users', 'SELECT')"
    assert (shell.sql(may, reader), shell.sql(may, app)) == ([(False,)], [(False,)])
    await shell.run(
        "\n".join(commands("restore").splitlines()[-2:]).replace("suspend false", functions() + "suspend false")
    )
    assert (shell.sql(may, reader), shell.sql(may, app)) == ([(False,)], [(True,)])


async def test_a_damaged_dump_changes_nothing(shell: Shell) -> None:
    dump = shell.folder / "database.dump"
    whole = dump.read_bytes()
    dump.write_bytes(whole[: len(whole) // 2])
    shell.enter("After")
    done = await shell.run(functions() + "replace database.dump", check=False)
    assert done.returncode != 0
    assert shell.patients() == ["After", "Before"]
    assert await shell.as_api() == ["After", "Before"]
    assert not (shell.folder / "replace.sql").exists()


async def test_a_database_that_is_gone_comes_back(shell: Shell) -> None:
    shell.site.sql(f'DROP DATABASE "{shell.site.name}_db" WITH (FORCE)')
    await shell.env.run()
    assert await shell.env.told("Stalled") == ("True", "DatabaseMissing")
    await shell.run(commands("gone"))
    await shell.run(commands("restore"))
    assert await shell.as_api() == ["Before"]
    await shell.env.run()
    assert await shell.env.told("DatabaseReady") == ("True", "Succeeded")


async def test_a_new_environment_takes_its_retained_database_back(shell: Shell) -> None:
    await shell.env.torn_down()
    shell.env.kubectl(
        "patch", "bse", shell.env.name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False
    )
    await shell.run(commands("new"))
    assert await shell.as_api() == ["Before"]


async def test_what_a_lost_cluster_leaves_is_taken_over(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    # Minutes of quiet are counted in seconds here.
    monkeypatch.setattr(judge, "QUIET", 5.0)
    page = (PAGE.parent / "database.md").read_text("utf-8")
    section = page.partition("## When the cluster was lost")[2].partition("\n## ")[0]
    steps = [textwrap.dedent(step) for step in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]
    assert len(steps) == 2
    before = await shell.env.body()
    lost(shell.env)
    shell.env.apply(**before["spec"])
    await shell.env.run()
    assert await shell.env.told("DatabaseReady") == ("False", "DatabaseConflict")
    for step in steps:
        await shell.run(
            step.replace("bse development", f"bse {shell.env.name}").replace("bse/development", f"bse/{shell.env.name}")
        )
    await shell.until_ready()
    assert await shell.as_api() == ["Before"]
    assert (await shell.env.body())["metadata"]["uid"] != before["metadata"]["uid"]


def lost(env: Operated) -> None:
    """Let everything of an environment in the cluster be gone, without the operator."""
    env.kubectl("patch", "bse", env.name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    env.kubectl("delete", "bse", env.name, "--ignore-not-found")
    env.kubectl("delete", "namespace", env.namespace, "--timeout=100s")


@pytest.fixture
def other(shell: Shell, operate: object, kubectl: Kubectl) -> Iterator[Shell]:
    """Another environment on the same server."""
    env: Operated = operate()  # type: ignore[operator]
    with Site(shell.site.server, superuser=False) as site:
        allow(kubectl, f"{env.name}-admin", site, admin=site.admin)
        env.apply(database=database(site, f"{env.name}-admin"))
        yield Shell(shell.kubeconfig, shell.folder, env, site, site.admin, site.password)
        kubectl("delete", "secret", f"{env.name}-admin", "-n", OPERATOR_NAMESPACE)


async def test_a_copy_has_the_patients_and_no_session(shell: Shell, other: Shell) -> None:
    await other.until_ready()
    shell.sql("INSERT INTO users (email, password_hash, role) VALUES ('a@biospark.example', 'x', 'admin')")
    shell.sql("INSERT INTO sessions (user_id, expires_at) SELECT id, now() + interval '1 day' FROM users")
    shell.sql(
        "INSERT INTO refresh_tokens (token_hash, session_id, expires_at) SELECT 'x', id, expires_at FROM sessions"
    )
    await shell.run(commands("backup"))
    await other.run(functions() + commands("copy"))
    assert await other.as_api() == ["Before"]
    assert other.sql("SELECT 1 FROM refresh_tokens") == []
    assert await shell.as_api() == ["Before"]


async def test_a_move_loses_no_write_and_locks_the_old_server(old_shell: Shell) -> None:
    shell, old = old_shell, old_shell.site.server
    with server(old.major, "-new") as new:
        moved = replace(shell, site=replace(shell.site, server=new))
        with moved.site:
            # The administrator has the same password there: one Secret opens both.
            admin = sql.Identifier(shell.admin)
            moved.site.sql(sql.SQL("ALTER ROLE {} PASSWORD {}").format(admin, sql.Literal(shell.password)))
            servers = f"biospark.ai/servers={old.address}:{old.port},{new.address}:{new.port}"
            secret_of_admin = ("secret", f"{shell.env.name}-admin", "-n", OPERATOR_NAMESPACE)
            shell.env.kubectl("annotate", "--overwrite", *secret_of_admin, servers)
            before = await secret(shell.env)
            shell.enter("Acknowledged")
            script = commands("move").replace(
                "new-postgres.example.com PGPORT=5432", f"{new.address} PGPORT={new.port}"
            )
            assert script != commands("move")
            await shell.run(functions() + script)
            assert await moved.as_api() == ["Acknowledged", "Before"]
            with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
                shell.site.sql(NAMES, database=before["database"], user=before["username"], password=before["password"])


async def test_a_whole_server_comes_back(env: Operated, kubeconfig: str, kubectl: Kubectl, tmp_path: Path) -> None:
    with server(18, "-whole") as first:
        site = Site(first, superuser=True)
        allow(kubectl, f"{env.name}-admin", site, admin=SUPERUSER)
        env.apply(database=database(site, f"{env.name}-admin"))
        shell = Shell(kubeconfig, tmp_path, env, site, SUPERUSER, site.password)
        await shell.until_ready()
        shell.enter("Before")
        await shell.run(commands("server-backup"))
        first.down()
        first.up()
        # The new server has the superuser's password of the old one: so the Secret opens it as well.
        site.sql(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(SUPERUSER), sql.Literal(shell.password)))
        (first.directory / "password").write_text(shell.password)
        await shell.run(functions() + commands("server-restore"))
        async with asyncio.timeout(60):
            while await env.told("DatabaseReady") != ("True", "Succeeded") or await shell.as_api() != ["Before"]:
                await env.run()
        await shell.until_ready()
        kubectl("delete", "secret", f"{env.name}-admin", "-n", OPERATOR_NAMESPACE)
