"""The servers that other tests lean on are real, empty for each test, and come back."""

from __future__ import annotations

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from servers import PostgresServer, RedisServer, find_program
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

ONCE = Retry(NoBackoff(), 0)


def test_each_test_gets_a_database_of_its_own(postgres_server: PostgresServer) -> None:
    first, second = postgres_server.new_database(), postgres_server.new_database()
    for url in (first, second):
        engine = create_engine(url)
        with engine.begin() as connection:  # the same name twice would fail
            connection.execute(text("CREATE TABLE tracks (title text)"))
        engine.dispose()
    postgres_server.drop_database(first)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(first.replace("+psycopg", "")).close()
    postgres_server.drop_database(second)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_postgres_comes_back_at_the_same_address_with_its_data(
    postgres_url: str, postgres_server: PostgresServer, end: str
) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tracks (title text)"))
        connection.execute(text("INSERT INTO tracks VALUES ('Rain — 夜')"))
    getattr(postgres_server, end)()
    with pytest.raises(OperationalError), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    postgres_server.start()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT title FROM tracks")) == "Rain — 夜"
    engine.dispose()


def test_postgres_listens_on_this_machine_only(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW listen_addresses")) == "127.0.0.1"
        assert connection.scalar(text("SHOW unix_socket_directories")) == ""
        assert connection.scalar(text("SHOW server_encoding")) == "UTF8"
    engine.dispose()


def test_redis_comes_back_at_the_same_address_and_empty(redis_server: RedisServer) -> None:
    redis_server.ask("SET", "a", "1")
    redis_server.stop()
    with pytest.raises(redis.ConnectionError):
        redis_server.ask("PING")
    redis_server.start()
    assert redis_server.ask("GET", "a") is None


def test_a_server_that_hangs_goes_on(redis_server: RedisServer) -> None:
    redis_server.ask("SET", "a", "1")
    redis_server.hang()
    client = redis.Redis(port=redis_server.port, socket_timeout=0.1, retry=ONCE)
    with pytest.raises(redis.TimeoutError), client:
        client.ping()
    redis_server.start()
    assert redis_server.ask("GET", "a") == b"1"


def test_a_missing_program_is_a_failure_that_names_the_remedy() -> None:
    with pytest.raises(RuntimeError, match=r"lofi-no-such-program .*scripts/system_packages\.sh"):
        find_program("lofi-no-such-program")
