"""Names are found however they were typed, and whatever the locale of the server."""

import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from biospark_api.schema import migrate
from dev.cluster.postgres import MAJORS
from tests.api.postgres import Server
from tests.api.service import Service, running_service
from tests.api.test_patients import PATIENTS, ada, created
from tests.api.test_schema import connected

pytestmark = pytest.mark.integration


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.as_role("clinician")


def found(client: httpx.Client, name: str, **others: Any) -> set[str]:
    answer = client.post(f"{PATIENTS}/_search", json={"name": name, "limit": 200} | others)
    assert answer.status_code == 200, answer.text
    return {patient["id"] for patient in answer.json()["items"]}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("  Müller ", "Müller"),
        ("\u00a0Ada\u2003", "Ada"),
        (unicodedata.normalize("NFD", "Żółć"), "Żółć"),
        ("A\u030angstro\u0308m", "Ångström"),
        (unicodedata.normalize("NFD", "김"), "김"),
        ("Anna  Maria", "Anna  Maria"),
        (unicodedata.normalize("NFD", "é" * 100), "é" * 100),
    ],
)
def test_name_is_kept_composed_and_trimmed(client: httpx.Client, sent: str, kept: str) -> None:
    patient = created(client, first_name=sent, last_name=sent)
    assert (patient["first_name"], patient["last_name"]) == (kept, kept)
    changed = client.patch(f"{PATIENTS}/{patient['id']}", json={"last_name": f" {sent}"}).json()
    assert changed["last_name"] == kept


@pytest.mark.parametrize("sent", ["", " ", "\u2003\u00a0", "é" * 101, unicodedata.normalize("NFD", "é" * 101)])
def test_name_is_measured_as_it_is_kept(client: httpx.Client, sent: str) -> None:
    answer = client.post(PATIENTS, json=ada(first_name=sent))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/first_name")


@pytest.mark.parametrize("server", MAJORS, indirect=True, scope="session")
class TestLocaleC:
    """A server whose `lower` knows ASCII alone, as CloudNativePG makes them, and rows of the release before."""

    @pytest.fixture
    def before(self, server: Server) -> Iterator[tuple[str, dict[str, str]]]:
        name = f"c_{uuid.uuid4().hex}"
        server.create_database(name, locale="C")
        with connected(server, name) as connection:
            migrate(connection, "0005")
        rows = ["MÜLLER", "Müller", unicodedata.normalize("NFD", "müller-Lüdenscheidt"), " Müller ", "Muller"]
        rows += ["Straße", "STRASSE", "ΟΔΥΣΣΕΥΣ", "Οδυσσευς", "ИВАНОВА"]
        with server.connect(name) as admin:
            assert admin.execute("SELECT lower('Ü')").fetchone() == ("Ü",)
            ids = {}
            for text in rows:
                row = admin.execute(
                    "INSERT INTO patients (first_name, last_name, date_of_birth) VALUES ('X', %s, '2000-01-01')"
                    " RETURNING id::text",
                    (text,),
                ).fetchone()
                assert row
                ids[text] = row[0]
        server.migrate(name)
        yield name, ids
        server.drop_database(name)

    def test_names_that_were_there_before_are_found_however_they_are_written(
        self, server: Server, before: tuple[str, dict[str, str]], tmp_path: Path
    ) -> None:
        database, ids = before
        with running_service(server, database, tmp_path) as service:
            client = service.as_role("clinician")

            def names(wanted: str) -> set[str]:
                by_id = {identifier: text for text, identifier in ids.items()}
                return {by_id[identifier] for identifier in found(client, wanted)}

            all_of_them = {"MÜLLER", "Müller", unicodedata.normalize("NFD", "müller-Lüdenscheidt"), " Müller "}
            for wanted in ("müller", "MÜLLER", " Mü ", unicodedata.normalize("NFD", "müll")):
                assert names(wanted) == all_of_them, wanted
            assert names("Mul") == {"Muller"}
            assert names("strass") == names("STRAß") == {"Straße", "STRASSE"}
            assert names("οδυσς") == names("ΟΔΥΣ") == {"ΟΔΥΣΣΕΥΣ", "Οδυσσευς"}
            assert names("иван") == {"ИВАНОВА"}
            assert names("%") == names("m_ller") == set()
            new = created(client, first_name="ÉMILE", last_name="Zola")["id"]
            assert found(client, "émile") == {new}

    def test_search_for_a_name_goes_by_an_index(self, server: Server, before: tuple[str, dict[str, str]]) -> None:
        with server.connect(before[0], user="api") as api:
            api.execute("SET enable_seqscan = off")
            plan = api.execute(
                "EXPLAIN SELECT id FROM patients WHERE folded_name(last_name) LIKE folded_name(%s)"
                " OR folded_name(first_name) LIKE folded_name(%s)",
                ("Mü%", "Mü%"),
            ).fetchall()
        text = "\n".join(line for (line,) in plan)
        for index in ("idx_patients_last_name_folded", "idx_patients_first_name_folded"):
            assert f"{index}\n" in text or f"{index} " in text, text
            assert "Seq Scan" not in text
        assert "~>=~" in text, "the index is searched from the beginning of the name on"
