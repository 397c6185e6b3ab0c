"""The database: one engine for SQLite or PostgreSQL, its transactions and its migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

from lofi.brief import InputError, LofiError
from lofi.studio._tables import Table

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_MS = 15_000


class Database:
    """Transactions on the studio's tables. Threads share it; each block has a connection alone."""

    def __init__(self, url: str) -> None:
        """Raises InputError for a URL that is neither SQLite nor PostgreSQL."""
        self.url = _url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._texts: dict[sa.Select[Any], str] = {}
        if self.is_sqlite:
            assert self.url.database
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = sa.create_engine(self.url, connect_args={"timeout": _BUSY_MS / 1000})
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            # A connection that the server dropped is noticed before it is used.
            self.engine = sa.create_engine(
                self.url, pool_pre_ping=True, pool_size=10, max_overflow=20
            )

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view; nothing written in it is kept."""
        with self._block(write=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed at the end, undone by an exception.

        SQLite has one writer at a time: others wait here, not in the middle of their work.
        """
        with self._block(write=True) as session:
            yield session
            session.commit()

    @contextmanager
    def _block(self, *, write: bool) -> Iterator[Session]:
        options = {"lofi_write": write}
        connection = None
        try:
            connection = self.engine.connect().execution_options(**options)
            with Session(connection, expire_on_commit=False) as session:
                yield session
        except OperationalError as error:
            raise DatabaseError(self._explain(error)) from error
        finally:
            if connection is not None:
                connection.close()

    def value(self, statement: sa.Select[Any]) -> Any:
        """The one value of a statement that takes no parameters.

        For what every request asks: by itself it costs a tenth of a session with a transaction.
        """
        sql = self._texts.get(statement)
        if sql is None:
            literal = {"literal_binds": True}
            sql = str(statement.compile(self.engine, compile_kwargs=literal))
            self._texts[statement] = sql
        try:
            connection = self.engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute(sql)
                row = cursor.fetchone()
                cursor.close()
            finally:
                connection.close()
        except self.engine.dialect.dbapi.OperationalError as error:  # type: ignore[union-attr]
            raise DatabaseError(self._explain(OperationalError(sql, None, error))) from error
        return row[0] if row else None

    def _explain(self, error: OperationalError) -> str:
        told = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
        shown = self.url.render_as_string(hide_password=True)
        if "disk is full" in told or "No space left" in told:
            return f"the disk of the database {shown} is full. Free some space; it goes on then."
        if "no such table" in told:
            return f"the database {shown} is not set up. Run `lofi db upgrade`."
        return f"the database {shown} does not answer: {told}. Check that it runs and its URL."

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to a revision: up, or down for an older one."""
        newest, current = self.revisions()[-1], self.revision()
        if current == newest and revision == "head":
            return  # as nearly always, and Alembic takes a third of a second to load
        from alembic import command

        with self.engine.connect() as connection:
            config = self._alembic(connection)
            if current is not None and current not in self.revisions():
                raise LofiError(
                    f"the database is of a newer version ({current}) than this program knows "
                    f"(up to {newest}). Install the newer program again."
                )
            down = revision == "base" or (
                current is not None
                and revision in self.revisions()
                and self.revisions().index(revision) < self.revisions().index(current)
            )
            (command.downgrade if down else command.upgrade)(config, revision)
            connection.commit()

    def revision(self) -> str | None:
        """The revision the tables are at, or None for an empty database."""
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.scalar(sa.text("SELECT version_num FROM alembic_version"))

    def revisions(self) -> list[str]:
        """All revisions, oldest first."""
        return _revisions()

    def drift(self) -> list[Any]:
        """What the tables in the database lack or have beyond those of the program."""
        from alembic.autogenerate import compare_metadata
        from alembic.runtime.migration import MigrationContext

        with self.engine.connect() as connection:
            options = {
                "compare_type": True,
                "include_name": _ours,
                "include_object": lambda thing, *_: self._has(thing),
            }
            context = MigrationContext.configure(connection, opts=options)
            return list(compare_metadata(context, Table.metadata))

    def _has(self, thing: sa.schema.SchemaItem) -> bool:
        """Whether a part of the tables is for this kind of database."""
        kind = self.engine.dialect.name
        return thing.info.get("only", kind) == kind

    def require_current(self) -> None:
        """Raise LofiError with the remedy unless the tables are those of this program."""
        current, newest = self.revision(), self.revisions()[-1]
        if current != newest:
            raise LofiError(
                f"the database {self.url.render_as_string(hide_password=True)} is at "
                f"{current or 'no revision'}, this program needs {newest}. Run `lofi db upgrade`."
            )

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _alembic(self, connection: sa.Connection) -> Any:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        return config


def _revisions() -> list[str]:
    files = (_MIGRATIONS / "versions").glob("[0-9]*.py")
    return sorted(file.name.partition("_")[0] for file in files)


def newest_revision() -> str:
    """The revision that this program wants the tables at."""
    return _revisions()[-1]


class DatabaseError(LofiError):
    """The database does not answer, or cannot write: it may pass."""


def _url(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise InputError(
            "the database setting cannot be read as a URL. Write "
            "postgresql://user:password@host/name, or leave it out for SQLite."
        ) from error
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return url.set(drivername="sqlite")
    raise InputError(
        f"the database setting names {backend}; it can be postgresql:// or sqlite:///PATH."
    )


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own idea of transactions begins them too late; we say BEGIN ourselves.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # what was committed outlives a power cut
        f"busy_timeout={_BUSY_MS}",
        "foreign_keys=ON",
        "cache_size=-16000",  # KB: by itself 2,000, and the index of 10,000 tracks has 2,900
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later would fail when another wrote meanwhile.
    write = connection.get_execution_options().get("lofi_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name in Table.metadata.tables
