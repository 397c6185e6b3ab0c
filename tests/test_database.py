"""The database: migrations on SQLite and PostgreSQL, transactions, the audit trail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, StatementError

from lofi.brief import InputError, LofiError
from lofi.studio._database import Database, DatabaseError
from lofi.studio._events import record
from lofi.studio._tables import Event, Preference, Table


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path / 'studio.db'}")
    else:
        made = Database(request.getfixturevalue("postgres_url"))
    made.migrate()
    yield made
    made.close()


def test_the_migrated_tables_are_those_of_the_program(database):
    assert database.drift() == []
    assert database.revision() == database.revisions()[-1]
    assert set(sa.inspect(database.engine).get_table_names()) >= set(Table.metadata.tables)


def test_the_revisions_are_those_of_alembic(database):
    from alembic.script import ScriptDirectory

    chain = ScriptDirectory(str(files("lofi.studio") / "migrations")).walk_revisions()
    assert database.revisions() == [r.revision for r in chain][::-1]


def test_every_migration_goes_down_and_up_again(database):
    for revision in [*database.revisions()[-2::-1], "base"]:
        database.migrate(revision)
    assert set(sa.inspect(database.engine).get_table_names()) <= {"alembic_version"}
    database.migrate()
    assert database.drift() == []


def test_a_database_of_a_newer_program_is_refused(database):
    with database.write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LofiError, match="newer version"):
        database.migrate()
    with pytest.raises(LofiError, match="lofi db upgrade"):
        database.require_current()


def test_a_transaction_that_fails_leaves_nothing(database):
    def fail() -> None:
        with database.write() as session:
            record(session, "me", "tried", "thing", "1")
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Event)) == 0


@pytest.mark.parametrize("statement", ["UPDATE events SET actor = 'x'", "DELETE FROM events"])
def test_an_event_can_be_neither_changed_nor_forgotten(database, statement):
    with database.write() as session:
        record(session, "me", "did", "thing", "1", why="because")
    with pytest.raises(DBAPIError, match="appended only"), database.write() as session:
        session.execute(sa.text(statement))
    with database.read() as session:
        assert session.scalars(sa.select(Event.actor)).all() == ["me"]


def test_moments_come_back_in_utc(database):
    summer = datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as session:
        session.add(Preference(name="a", value={}, updated_by="me", updated_at=summer))
    with database.read() as session:
        found = session.get_one(Preference, "a").updated_at
    assert found == summer
    assert found.tzinfo is UTC


def test_a_moment_without_a_zone_is_refused(database):
    naive = datetime(2026, 7, 1, 12, 0)
    with pytest.raises(StatementError, match="no time zone"), database.write() as session:
        session.add(Preference(name="a", value={}, updated_by="me", updated_at=naive))


@pytest.mark.parametrize(
    ("url", "told"),
    [("mysql://x/y", "postgresql"), ("nonsense", "cannot be read"), ("sqlite://", "sqlite")],
)
def test_an_unusable_url_is_refused_with_a_remedy(url, told):
    with pytest.raises(InputError, match=told):
        Database(url)


def test_a_password_is_not_in_the_error_of_a_server_that_is_away():
    database = Database("postgresql://me:hunter2@127.0.0.1:1/none")
    with pytest.raises(DatabaseError) as caught, database.read() as session:
        session.execute(sa.text("SELECT 1"))
    assert "hunter2" not in str(caught.value)


def test_what_is_written_outlives_the_process(tmp_path: Path):
    for _ in range(2):
        database = Database(f"sqlite:///{tmp_path / 'studio.db'}")
        database.migrate()
        with database.write() as session:
            record(session, "me", "did", "thing", "1")
        database.close()
    with Database(f"sqlite:///{tmp_path / 'studio.db'}").read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Event)) == 2
