"""What of a migration loses data is told from its syntax, not from words in it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from biospark_api import schema
from biospark_api.schema import revisions
from biospark_api.schema.losses import losses, verdict
from biospark_api.schema.migrations.steps import OnlineIndex, Script


@pytest.mark.parametrize(
    ("sql", "lost"),
    [
        ("DROP TABLE patients", "drops the table patients"),
        ("drop table if exists audit.patients", "drops the table audit.patients"),
        ("DROP TABLE a, b", "drops the table a, b"),
        ("DROP INDEX i CASCADE", "drops the index i with all that depends on it"),
        ("DROP SCHEMA private", "drops the schema private"),
        ("TRUNCATE a, b", "empties a, b"),
        ("ALTER TABLE patients DROP COLUMN phone", "drops the column phone of patients"),
        ("ALTER TABLE patients ADD COLUMN x int, DROP phone", "drops the column phone of patients"),
        (
            "ALTER TABLE patients ALTER COLUMN phone TYPE varchar(10)",
            "changes the type of the column phone of patients",
        ),
        ("DELETE FROM patients WHERE id IS NULL", "deletes rows of patients"),
        ("UPDATE patients SET phone = NULL", "changes rows of patients"),
        ("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone", "deletes rows of a"),
        ("MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET x = 1", "changes rows of a"),
        (
            "INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET y = 2",
            "changes rows that are in the way of new ones",
        ),
        ("DO $$ BEGIN EXECUTE 'DR' || 'OP TABLE a'; END $$", "runs DO, which can't be judged"),
        ("DROP OWNED BY somebody", "runs DROP, which can't be judged"),
        ("SELECT clean_up()", "runs SELECT, which can't be judged"),
        ("CREATE TABEL a", "runs CREATE, which can't be judged"),
        ("'", "can't be read"),
    ],
)
def test_what_is_lost_is_named(sql: str, lost: str) -> None:
    assert losses(sql) == (lost,)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE a (id int PRIMARY KEY, note text DEFAULT 'DROP TABLE a')",
        "COMMENT ON TABLE a IS 'DROP TABLE a; TRUNCATE b'",
        "INSERT INTO a (x) VALUES ('DELETE FROM a')",
        "INSERT INTO a (x) VALUES (1) ON CONFLICT DO NOTHING",
        "-- DROP TABLE a\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (lower(x) text_pattern_ops)",
        "ALTER TABLE a ADD COLUMN dropped timestamptz, ADD CONSTRAINT c CHECK (x IS NOT NULL) NOT VALID",
        "ALTER TABLE a ALTER COLUMN x SET DEFAULT 3",
        "ALTER TABLE a ALTER COLUMN x DROP NOT NULL",
        "ALTER TABLE a RENAME COLUMN x TO y",
        "ALTER TABLE a DROP CONSTRAINT c",
        "DROP INDEX CONCURRENTLY i",
        "DROP VIEW v",
        "GRANT SELECT ON a TO b; REVOKE ALL ON a FROM PUBLIC",
    ],
)
def test_what_keeps_all_data_passes(sql: str) -> None:
    assert losses(sql) == ()


def test_each_statement_is_looked_at() -> None:
    assert losses("CREATE TABLE a (id int); DROP TABLE b; TRUNCATE c") == ("drops the table b", "empties c")


def test_no_revision_of_this_release_loses_anything() -> None:
    assert {revision.name: revision.losses for revision in revisions() if revision.losses} == {}


def test_verdicts_are_those_of_the_revisions_as_they_are() -> None:
    verdicts = json.loads(Path(schema.__file__).with_name("losses.json").read_text())
    assert verdicts == {revision.name: verdict(revision) for revision in revisions()}, "run make crd"


def test_a_revision_that_was_never_judged_counts_as_losing() -> None:
    revision = replace(revisions()[0], steps=(Script("DROP TABLE patients"),))
    assert revision.losses == ("was never judged",)
    assert replace(revision, name="0099").losses == ("was never judged",)


def test_the_word_of_the_author_is_given_only_where_it_is_needed() -> None:
    needless = [step for revision in revisions() for step in revision.steps if step.keeps_data and not losses(step.sql)]
    assert {type(step) for step in needless} <= {OnlineIndex}


# A database that ran a revision refuses to go on when that is another one now: so what was released stays as it is.
RELEASED = {
    "0001": "9f543b53b2fa54a0",
    "0002": "6dfa48b595b27b0b",
    "0003": "381c94480ad25b0c",
    "0004": "b8dd99377027b91f",
    "0005": "8c38ad65ec69e8b3",
    "0006": "a1fd7fbac6924f4f",
    "0007": "09a5ccabf8901bfb",
    "0008": "de4f4bde4c163e17",
    "0009": "166d34b2a76810f4",
}


def test_a_released_revision_is_never_edited() -> None:
    assert {revision.name: revision.checksum[:16] for revision in revisions()} == RELEASED
